/** Where the time of a request goes: the parts that frames of our stacks belong to. */

export const stageNames = [
  'kernel',
  'native code',
  'collector',
  'HTTP/2 and streams',
  'gRPC',
  'codec',
  'API',
  'server',
  'raft',
  'transport',
  'log',
  'apply',
  'state',
  'watch',
  'other',
] as const;
export type Stage = (typeof stageNames)[number];

/** What a frame of a profile says of itself. */
export interface Frame {
  readonly functionName: string;
  readonly url: string;
}

type Rule = readonly [pattern: RegExp, stage: Stage];

/** The first that fits decides; paths are those of what was built. */
const rules: readonly Rule[] = [
  [/\/dist\/gen\/|\/dist\/base\/wire\.js$/, 'codec'],
  [
    /\/dist\/http2\/|^node:internal\/http2\/|^node:net$|^node:internal\/stream_base_commons$/,
    'HTTP/2 and streams',
  ],
  [/\/dist\/mvcc\/watch|\/dist\/api\/watch/, 'watch'],
  [/\/dist\/(?:api\/)?grpc\/|\/@grpc\/grpc-js\//, 'gRPC'],
  [/\/dist\/api\//, 'API'],
  [/\/dist\/raft\/|\/dist\/server\/raft-driver\.js$/, 'raft'],
  [/\/dist\/transport\//, 'transport'],
  [/\/dist\/storage\/(?:raft-log|log-|term-|flush-record)/, 'log'],
  [/\/dist\/(?:apply|lease|alarm)\/|\/dist\/server\/state-machine\.js$/, 'apply'],
  [/\/dist\/(?:mvcc|schema)\/|\/dist\/storage\/backend/, 'state'],
  [/\/dist\/server\//, 'server'],
];

/** Frames that do not stand for JavaScript, by their names. */
const special: Readonly<Record<string, Stage>> = {
  '(garbage collector)': 'collector',
  '(program)': 'native code',
};

/**
 * The stage of a sample; undefined while the thread waits.
 *
 * @param stack from what runs outwards: what belongs to nobody, like buffers and events of Node or
 *   LevelDB's binding, belongs to who called it
 */
export function stageOf(stack: readonly Frame[]): Stage | undefined {
  const [running] = stack;
  if (running === undefined || running.functionName === '(idle)') return undefined;
  const own = special[running.functionName];
  if (own !== undefined) return own;
  for (const { url } of stack) {
    const rule = rules.find(([pattern]) => pattern.test(url));
    if (rule !== undefined) return rule[1];
  }
  return /^node:internal\/streams\//.test(running.url) ? 'HTTP/2 and streams' : 'other';
}
