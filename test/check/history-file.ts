/**
 * Histories as files, for runs that failed: JSON lines, one operation, watch, observation, event
 * or fact each. Bytes are base64, big integers text; fields that are undefined are left out.
 *
 * Answers must be plain messages: one that decodes itself when it is looked at would be written
 * without its fields, so whoever records decodes first.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Event } from '../../src/gen/kv.ts';
import type {
  History,
  LeaseFact,
  LockFact,
  Operation,
  Restored,
  StateObservation,
  WatchLog,
} from './history.ts';

const format = 'quorate-history';
const version = 1;

interface Header {
  readonly format: string;
  readonly version: number;
  readonly hasEvents: boolean;
  /** The lock that the history tells of, if it does. */
  readonly lock?: string | undefined;
}

type Line =
  | { readonly operation: Operation }
  | { readonly ofService: Operation }
  | { readonly lease: LeaseFact }
  | { readonly held: LockFact }
  | { readonly restored: Restored }
  | { readonly watch: WatchLog }
  | { readonly state: StateObservation }
  | { readonly event: Event };

export function saveHistory(path: string, history: History): void {
  writeFileSync(path, formatHistory(history));
}

/** @throws Error that names the file and the line */
export function loadHistory(path: string): History {
  return parseHistory(readFileSync(path, 'utf8'), path);
}

export function formatHistory(history: History): string {
  const { ofServices = [], leases = [], locks, restored = [] } = history;
  const hasEvents = history.events !== undefined;
  const header: Header = { format, version, hasEvents, lock: locks?.name };
  const lines: Line[] = [
    ...history.operations.map((operation) => ({ operation })),
    ...ofServices.map((ofService) => ({ ofService })),
    ...leases.map((lease) => ({ lease })),
    ...(locks?.held ?? []).map((held) => ({ held })),
    ...restored.map((each) => ({ restored: each })),
    ...history.watches.map((watch) => ({ watch })),
    ...history.states.map((state) => ({ state })),
    ...(history.events ?? []).map((event) => ({ event })),
  ];
  return [header, ...lines].map((line) => `${JSON.stringify(packed(line))}\n`).join('');
}

/** @throws Error that names the source and the line */
export function parseHistory(text: string, source: string): History {
  const [first = '', ...rest] = text.trimEnd().split('\n');
  const header = parseLine(first, `${source}:1`) as Partial<Header> | null;
  if (header?.format !== format) throw new Error(`${source}: not a history`);
  if (header.version !== version) {
    throw new Error(`${source}: history of version ${header.version ?? 'unknown'}`);
  }
  const operations: Operation[] = [];
  const ofServices: Operation[] = [];
  const leases: LeaseFact[] = [];
  const held: LockFact[] = [];
  const restored: Restored[] = [];
  const watches: WatchLog[] = [];
  const states: StateObservation[] = [];
  const events: Event[] = [];
  for (const [i, content] of rest.entries()) {
    const where = `${source}:${i + 2}`;
    const line = parseLine(content, where);
    if (typeof line !== 'object' || line === null) throw new Error(`${where}: not a record`);
    if ('operation' in line) operations.push(line.operation as Operation);
    else if ('ofService' in line) ofServices.push(line.ofService as Operation);
    else if ('lease' in line) leases.push(line.lease as LeaseFact);
    else if ('held' in line) held.push(line.held as LockFact);
    else if ('restored' in line) restored.push(line.restored as Restored);
    else if ('watch' in line) watches.push(line.watch as WatchLog);
    else if ('state' in line) states.push(line.state as StateObservation);
    else if ('event' in line) events.push(line.event as Event);
    else throw new Error(`${where}: an unknown kind of record`);
  }
  return {
    operations,
    ...(ofServices.length > 0 ? { ofServices } : {}),
    ...(leases.length > 0 ? { leases } : {}),
    ...(header.lock === undefined ? {} : { locks: { name: header.lock, held } }),
    ...(restored.length > 0 ? { restored } : {}),
    watches,
    states,
    events: header.hasEvents === true ? events : undefined,
  };
}

function parseLine(line: string, where: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new Error(`${where}: not JSON`, { cause });
  }
  return unpacked(value);
}

/** What JSON cannot say becomes an object with one of these fields. */
const bytesField = '$bytes';
const bigintField = '$bigint';
const numberField = '$number';

function packed(value: unknown): unknown {
  if (typeof value === 'bigint') return { [bigintField]: value.toString() };
  if (typeof value === 'number' && !Number.isFinite(value)) return { [numberField]: `${value}` };
  if (value instanceof Uint8Array) return { [bytesField]: Buffer.from(value).toString('base64') };
  if (Array.isArray(value)) return value.map(packed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, packed(each)]));
}

function unpacked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unpacked);
  if (typeof value !== 'object' || value === null) return value;
  const fields = value as Readonly<Record<string, unknown>>;
  const { [bytesField]: bytes, [bigintField]: bigint, [numberField]: number } = fields;
  if (typeof bytes === 'string') return new Uint8Array(Buffer.from(bytes, 'base64'));
  if (typeof bigint === 'string') return BigInt(bigint);
  if (typeof number === 'string') return Number(number);
  return Object.fromEntries(Object.entries(fields).map(([name, each]) => [name, unpacked(each)]));
}
