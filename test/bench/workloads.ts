/** The table of what is measured. */
import type { LoadJob } from './client-job.ts';
import type { PerfLoad } from './check-perf.ts';

/** A call that is the same each time. */
export type RepeatedCall =
  | { readonly call: 'put' }
  | { readonly call: 'get'; readonly serializable: boolean }
  /** The first so many of the prepared keys. */
  | { readonly call: 'range'; readonly keys: number };

export type Generator =
  | {
      readonly kind: 'repeat';
      readonly request: RepeatedCall;
      /** In all, on all connections. */
      readonly inFlight: number;
      readonly connections: number;
      /** Half as many calls a second as go at most. */
      readonly atHalf: boolean;
    }
  | { readonly kind: 'client'; readonly load: LoadJob; readonly connections: number }
  | { readonly kind: 'check-perf'; readonly load: PerfLoad };

export interface Workload {
  readonly name: string;
  /** What an operation is, and how many go on. */
  readonly title: string;
  readonly generator: Generator;
  readonly to: 'leader' | 'follower';
  /** Keys that are put before. */
  readonly prepared: number;
  /** The server that only answers is measured as well. */
  readonly ceiling: boolean;
  /** Part of the smoke test. */
  readonly quick: boolean;
}

export interface Scale {
  /** Sizes are a hundredth. */
  readonly quick: boolean;
  /** Of a load that counts, with its warm-up. */
  readonly seconds: number;
}

/** Connections where nothing else is said: more would add no load. */
const connectionsMost = 10;

/** More than any member deletes in a second. */
const deletesPerSecondMost = 20_000;

const plain = { to: 'leader', prepared: 0, ceiling: false, quick: false } as const;

export function workloadsOf({ quick, seconds }: Scale): readonly Workload[] {
  const scaled = (size: number): number => (quick ? Math.ceil(size / 100) : size);
  return [
    ...[1, 10, 100, 1000].map((inFlight): Workload => {
      return { ...putsOf(inFlight), ceiling: true, quick: inFlight === 100 };
    }),
    ...[1, 10, 100, 1000].map((inFlight): Workload => {
      return { ...putsOf(inFlight, { to: 'follower' }), quick: inFlight === 10 };
    }),
    putsOf(100, { connections: 1 }),
    putsOf(100, { connections: 100 }),
    putsOf(100, { atHalf: true }),
    client('put-random', 'put 256 B, random keys of 1,000,000, 100 in flight', {
      load: { kind: 'unary', operation: 'put', inFlight: 100, keys: 1_000_000 },
    }),
    ...[1, 100].flatMap((inFlight) => [getsOf(inFlight, false), getsOf(inFlight, true)]),
    rangesOf('range-100', scaled(100), 10),
    rangesOf('range-10000', scaled(10_000), 4),
    client('mixed', '80 % get, 20 % put, random keys of 10,000, 100 in flight', {
      load: { kind: 'unary', operation: 'mixed', inFlight: 100, keys: scaled(10_000) },
      prepared: scaled(10_000),
      quick: true,
    }),
    client('swap', 'compare-and-swap transaction, 100 in flight', {
      load: { kind: 'unary', operation: 'swap', inFlight: 100, keys: 0 },
      quick: true,
    }),
    deletesOf(Math.ceil(deletesPerSecondMost * seconds)),
    client('watch-shared', `event of one key to ${counted(scaled(1000))} watchers`, {
      load: { kind: 'watch', watchers: scaled(1000), shared: true, inFlight: 1 },
      quick: true,
    }),
    client('watch-separate', `event to one of ${counted(scaled(10_000))} watched keys`, {
      load: { kind: 'watch', watchers: scaled(10_000), shared: false, inFlight: 100 },
    }),
    client('keep-alive', `renewal of one of ${counted(scaled(50_000))} leases, 100 in flight`, {
      load: { kind: 'keep-alive', leases: scaled(50_000), inFlight: 100 },
      quick: true,
    }),
    ...(['s', 'm', 'l'] as const).map((load): Workload => {
      const title = `etcdctl check perf --load=${load}`;
      return {
        ...plain,
        name: `check-perf-${load}`,
        title,
        generator: { kind: 'check-perf', load },
      };
    }),
  ];
}

function counted(count: number): string {
  return count.toLocaleString('en');
}

interface PutOptions {
  readonly to?: 'leader' | 'follower';
  readonly connections?: number;
  readonly atHalf?: boolean;
}

function putsOf(
  inFlight: number,
  { to = 'leader', connections, atHalf = false }: PutOptions = {},
): Workload {
  const words = ['put 256 B'];
  if (to === 'follower') words.push('through a follower');
  words.push(atHalf ? 'at half of the highest rate' : `${counted(inFlight)} in flight`);
  if (connections !== undefined)
    words.push(`${connections} connection${connections > 1 ? 's' : ''}`);
  const name = [
    to === 'follower' ? 'put-follower' : 'put',
    atHalf ? 'half' : String(inFlight),
    ...(connections === undefined ? [] : ['over', String(connections)]),
  ].join('-');
  return {
    ...plain,
    name,
    title: words.join(', '),
    to,
    generator: repeated({ call: 'put' }, inFlight, { connections, atHalf }),
  };
}

function getsOf(inFlight: number, serializable: boolean): Workload {
  const consistency = serializable ? 'serializable' : 'linearizable';
  return {
    ...plain,
    name: serializable ? `get-serializable-${inFlight}` : `get-${inFlight}`,
    title: `get, ${consistency}, ${inFlight} in flight`,
    generator: repeated({ call: 'get', serializable }, inFlight),
    prepared: 1,
    ceiling: !serializable,
    quick: inFlight === 100 && !serializable,
  };
}

function rangesOf(name: string, keys: number, inFlight: number): Workload {
  return {
    ...plain,
    name,
    title: `range of ${counted(keys)} keys, ${inFlight} in flight`,
    generator: repeated({ call: 'range', keys }, inFlight),
    prepared: keys,
  };
}

function deletesOf(keys: number): Workload {
  return client('delete', 'delete of a key, 100 in flight', {
    load: { kind: 'unary', operation: 'delete', inFlight: 100, keys },
    prepared: keys,
  });
}

function repeated(
  request: RepeatedCall,
  inFlight: number,
  options: { connections?: number | undefined; atHalf?: boolean } = {},
): Generator {
  const { connections = Math.min(inFlight, connectionsMost), atHalf = false } = options;
  return { kind: 'repeat', request, inFlight, connections, atHalf };
}

function client(
  name: string,
  title: string,
  { load, ...options }: { load: LoadJob; prepared?: number; quick?: boolean },
): Workload {
  const generator = { kind: 'client', load, connections: connectionsMost } as const;
  return { ...plain, ...options, name, title, generator };
}
