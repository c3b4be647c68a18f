/** An answer in plain HTTP. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** How long a request may take; its port cuts it off later. */
export interface AnswerTime {
  /** The time begins anew: the client has taken something. */
  restart(): void;
  /** From now on there is no limit: the client waits for us. */
  lift(): void;
}
