// Where the tokens of a batch stand that follow those of a cache; bound by its name.
struct Cursor {
  first: u32, // position of the first
}
