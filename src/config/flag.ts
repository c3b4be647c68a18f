/** What a flag is. */

/** How a flag's text is read. */
export type FlagType =
  | 'string'
  | 'boolean'
  | 'unsigned'
  | 'uint32'
  | 'integer'
  | 'duration'
  | 'urls'
  | 'origins'
  | 'cluster-state'
  | 'feature-gates';

/**
 * `used` flags act. `ignored` flags tune parts of etcd that have no counterpart here: any value is
 * accepted with a warning. `refused` flags promise something that would be missed: any value but
 * the default stops the start. `renamed` flags stand for another one.
 */
export type FlagSupport = 'used' | 'ignored' | 'refused' | 'renamed';

export interface FlagDefinition {
  readonly name: string;
  readonly type: FlagType;
  /** In the flag's own notation. */
  readonly fallback: string;
  readonly help: string;
  readonly support: FlagSupport;
}
