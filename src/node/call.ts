/** What every function of the front door takes besides its settings. */

/** Shapes that all of them tell what they do in; training adds its steps and evaluations. */
export type WorkEvent<Phase extends string> =
  | { readonly type: 'phase'; readonly phase: Phase; readonly total: number }
  | { readonly type: 'progress'; readonly phase: Phase; readonly label: string }
  | { readonly type: 'note'; readonly text: string };

export type CallOptions<Event> = {
  /** Told what happens while it happens. What it throws ends the work. */
  readonly onEvent?: ((event: Event) => void) | undefined;
  /** Ends the work early: the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
};
