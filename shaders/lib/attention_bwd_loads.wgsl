import package::attention_bwd_simt::{ dO, k, params, q, v };
import constants::D4;

// Loads of attention_bwd_simt from memory, within it where a row or column is not: zeros then, without a branch, so that
// loads do not wait for each other.

// q or, as the second product's operand, dO; zeros past the last token and the last vector
fn load_query(second: bool, b: u32, h: u32, s: u32, d: u32) -> vec4f {
  let at = ((b * params.S + min(s, params.S - 1u)) * params.H + h) * D4 + min(d, D4 - 1u);
  var x: vec4f;
  if (second) { x = dO[at]; } else { x = q[at]; }
  return select(vec4f(), x, s < params.S && d < D4);
}
// k or v
fn load_key(second: bool, b: u32, h: u32, s: u32, d: u32) -> vec4f {
  let at = ((b * params.S + min(s, params.S - 1u)) * params.K + h / (params.H / params.K)) * D4 + min(d, D4 - 1u);
  var x: vec4f;
  if (second) { x = v[at]; } else { x = k[at]; }
  return select(vec4f(), x, s < params.S && d < D4);
}
fn load(own: bool, second: bool, b: u32, h: u32, s: u32, d: u32) -> vec4f {
  @if(BY_KEY) let query = !own;
  @if(!BY_KEY) let query = own;
  if (query) { return load_query(second, b, h, s, d); }
  return load_key(second, b, h, s, d);
}
