/**
 * What a program did to the files below one directory, and what it sent, as its system calls say:
 * each file with its writes and syncs, each directory with its changes of names and syncs.
 *
 * A call that could change a file in a way that is not understood here is an error, never ignored.
 */
import { dirname, normalize } from 'node:path';
import type { Argument, SystemCall, Trace } from './system-calls.ts';

/** When something happened: a call that is under way at a moment may or may not have happened. */
export interface Span {
  readonly begin: number;
  readonly end: number;
}

export type ContentChange = Span &
  (
    | { readonly kind: 'write'; readonly offset: number; readonly bytes: Buffer }
    | { readonly kind: 'truncate'; readonly sizeBytes: number }
  );

/** Something that has a name: its content or its names survive up to its last sync at least. */
export class Inode {
  readonly number: number;
  readonly isDirectory: boolean;
  readonly changes: ContentChange[] = [];
  readonly syncs: Span[] = [];
  /** Of a file, as the program sees it. */
  sizeBytes = 0;
  /** Of a directory, as the program sees it. */
  readonly names = new Map<string, Inode>();

  constructor(number: number, isDirectory: boolean) {
    this.number = number;
    this.isDirectory = isDirectory;
  }
}

/** A name that comes to mean something, or nothing. */
export interface NameChange {
  readonly directory: Inode;
  readonly name: string;
  readonly target: Inode | undefined;
}

/** Changes that happen together or not at all: two for a rename. */
export interface NamesChange extends Span {
  readonly kind: 'create' | 'rename' | 'remove';
  readonly changes: readonly NameChange[];
}

/** Bytes that left the process, to a connection or a pipe. */
export interface Sent extends Span {
  readonly bytes: Buffer;
}

interface OpenFile {
  readonly inode: Inode;
  readonly path: string;
  readonly writable: boolean;
  offset: number;
}

interface Place {
  readonly directory: Inode;
  readonly name: string;
  readonly inode: Inode | undefined;
}

type Handler = (call: SystemCall, result: number) => void;

/** Calls that would change files behind the back of this model. */
const notUnderstood = new Set([
  'pwritev',
  'pwritev2',
  'fallocate',
  'truncate',
  'link',
  'linkat',
  'symlink',
  'symlinkat',
  'copy_file_range',
  'sendfile',
  'splice',
  'dup',
  'dup2',
  'dup3',
  'io_uring_setup',
  'sync_file_range',
]);

const sendingCalls = new Set(['write', 'writev', 'sendmsg', 'sendto']);

/** What strace has to follow. */
export const tracedCalls: readonly string[] = [
  ...['open', 'openat', 'openat2', 'creat', 'close', 'lseek', 'mmap', 'execve'],
  ...['write', 'pwrite64', 'writev', 'sendmsg', 'sendto', 'ftruncate'],
  ...['fsync', 'fdatasync', 'rename', 'renameat', 'renameat2'],
  ...['unlink', 'unlinkat', 'mkdir', 'mkdirat', 'rmdir'],
  ...notUnderstood,
];

export class RecordedDisk {
  /** The directory that was there, empty and durable, before the first call. */
  readonly path: string;
  readonly root = new Inode(0, true);
  readonly namesChanges: NamesChange[] = [];
  readonly sent: Sent[] = [];
  /** Moments of all traces so far: where the next trace begins. */
  moments = 0;
  /** Wall clock of every second moment. */
  timesMs: number[] = [];
  #inodes = 1;
  #open = new Map<number, OpenFile>();
  #programs = 0;
  readonly #handlers: ReadonlyMap<string, Handler>;

  constructor(path: string) {
    this.path = normalize(path);
    const at: Handler = (call, result) => this.#openFile(call.arguments.slice(1), call, result);
    this.#handlers = new Map<string, Handler>([
      ['open', (call, result) => this.#openFile(call.arguments, call, result)],
      ['openat', at],
      ['openat2', at],
      ['write', (call, result) => this.#write(call, bytesOf(call.arguments[1]), result)],
      ['writev', (call, result) => this.#write(call, bytesOf(call.arguments[1]), result)],
      ['sendmsg', (call, result) => this.#write(call, bytesOf(call.arguments[1]), result)],
      ['sendto', (call, result) => this.#write(call, bytesOf(call.arguments[1]), result)],
      ['pwrite64', (call, result) => this.#writeAt(call, result)],
      ['ftruncate', (call) => this.#truncate(call)],
      ['fsync', (call) => this.#sync(call)],
      ['fdatasync', (call) => this.#sync(call)],
      ['rename', (call) => this.#rename(call, 0, 1)],
      ['renameat', (call) => this.#rename(call, 1, 3)],
      ['renameat2', (call) => this.#rename(call, 1, 3)],
      ['unlink', (call) => this.#remove(call, 0)],
      ['unlinkat', (call) => this.#remove(call, 1)],
      ['rmdir', (call) => this.#remove(call, 0)],
      ['mkdir', (call) => this.#makeDirectory(call, 0)],
      ['mkdirat', (call) => this.#makeDirectory(call, 1)],
      ['lseek', (call) => this.#seek(call)],
      ['mmap', (call) => this.#map(call)],
      ['execve', () => (this.#programs += 1)],
    ]);
  }

  /** Takes one run of a program; further ones find the files as this one left them. */
  replay(trace: Trace): void {
    this.#open = new Map();
    this.#programs = 0;
    // What a call does is done when it ends; only closing frees its number before that.
    const steps = trace.calls.flatMap((call) => {
      if (call.end === Infinity || call.result === undefined) {
        // Killed in the middle of it: what it was sending may have arrived.
        return sendingCalls.has(call.name) ? [{ at: trace.moments, call }] : [];
      }
      if (call.result < 0) return [];
      return [{ at: call.name === 'close' ? call.begin + 0.5 : call.end, call }];
    });
    steps.sort((a, b) => a.at - b.at);
    for (const { call } of steps) {
      const begin = call.begin + this.moments;
      const end = Math.min(call.end, trace.moments) + this.moments;
      const span = { ...call, begin, end };
      if (call.result === undefined) this.#sendUnfinished(span);
      else this.#take(span, call.result);
    }
    this.moments += trace.moments;
    for (const timeMs of trace.timesMs) this.timesMs.push(timeMs);
    if (this.#programs > 1) throw new Error('the trace holds more than one program');
  }

  #take(call: SystemCall, result: number): void {
    if (notUnderstood.has(call.name)) {
      const ours = call.arguments.some(
        (argument) => this.#file(argument) !== undefined || this.#isOurs(argument),
      );
      if (ours || call.name === 'io_uring_setup') {
        throw new Error(`the program calls ${call.name}, which is not understood`);
      }
    } else if (call.name === 'close') {
      this.#open.delete(numberOf(call.arguments[0]));
    } else {
      const handler = this.#handlers.get(call.name);
      if (handler === undefined) throw new Error(`unexpected call of ${call.name}`);
      handler(call, result);
    }
  }

  #sendUnfinished(call: SystemCall): void {
    const bytes = bytesOf(call.arguments[1]);
    if (this.#file(call.arguments[0]) === undefined) this.sent.push({ bytes, ...spanOf(call) });
  }

  #openFile(args: readonly Argument[], call: SystemCall, result: number): void {
    const path = pathOf(args[0]);
    const flags = textOf(args[1]);
    if (!this.#isOurs(args[0])) {
      if (path !== undefined && !path.startsWith('/') && /O_CREAT/.test(flags)) {
        throw new Error(`${path} is relative: where is it?`);
      }
      return;
    }
    const place = this.#place(path ?? '');
    const { inode } = place;
    const opened = inode ?? this.#create(place, false, call);
    if (inode !== undefined && /O_TRUNC/.test(flags) && inode.sizeBytes > 0) {
      this.#change(inode, { kind: 'truncate', sizeBytes: 0, ...spanOf(call) });
    }
    const writable = /O_WRONLY|O_RDWR/.test(flags);
    const offset = /O_APPEND/.test(flags) ? opened.sizeBytes : 0;
    this.#open.set(result, { inode: opened, path: path ?? '', writable, offset });
  }

  #write(call: SystemCall, bytes: Buffer, count: number): void {
    const file = this.#file(call.arguments[0]);
    const written = bytes.subarray(0, count);
    if (file === undefined) {
      if (count > 0) this.sent.push({ bytes: written, ...spanOf(call) });
      return;
    }
    const { inode, offset } = file;
    file.offset += count;
    this.#change(inode, { kind: 'write', offset, bytes: written, ...spanOf(call) });
  }

  #writeAt(call: SystemCall, count: number): void {
    const file = this.#file(call.arguments[0]);
    if (file === undefined) return;
    const bytes = bytesOf(call.arguments[1]).subarray(0, count);
    const offset = numberOf(call.arguments[3]);
    this.#change(file.inode, { kind: 'write', offset, bytes, ...spanOf(call) });
  }

  #truncate(call: SystemCall): void {
    const file = this.#file(call.arguments[0]);
    if (file === undefined) return;
    const sizeBytes = numberOf(call.arguments[1]);
    this.#change(file.inode, { kind: 'truncate', sizeBytes, ...spanOf(call) });
  }

  #change(inode: Inode, change: ContentChange): void {
    inode.changes.push(change);
    inode.sizeBytes =
      change.kind === 'truncate'
        ? change.sizeBytes
        : Math.max(inode.sizeBytes, change.offset + change.bytes.length);
  }

  #sync(call: SystemCall): void {
    this.#file(call.arguments[0])?.inode.syncs.push(spanOf(call));
  }

  #create(place: Place, isDirectory: boolean, call: SystemCall): Inode {
    const inode = new Inode(this.#inodes++, isDirectory);
    this.#rearrange('create', [{ ...place, target: inode }], call);
    return inode;
  }

  #makeDirectory(call: SystemCall, argument: number): void {
    if (!this.#isOurs(call.arguments[argument])) return;
    this.#create(this.#place(pathOf(call.arguments[argument]) ?? ''), true, call);
  }

  #remove(call: SystemCall, argument: number): void {
    if (!this.#isOurs(call.arguments[argument])) return;
    const place = this.#place(pathOf(call.arguments[argument]) ?? '');
    this.#rearrange('remove', [{ ...place, target: undefined }], call);
  }

  #rename(call: SystemCall, from: number, to: number): void {
    const ours = [from, to].filter((each) => this.#isOurs(call.arguments[each]));
    if (ours.length === 0) return;
    if (ours.length === 1) throw new Error('a file is moved into the directory or out of it');
    const old = this.#place(pathOf(call.arguments[from]) ?? '');
    const target = old.inode;
    if (target === undefined) throw new Error(`${old.name} is renamed, but is not there`);
    const place = this.#place(pathOf(call.arguments[to]) ?? '');
    const changes = [
      { ...old, target: undefined },
      { ...place, target },
    ];
    this.#rearrange('rename', changes, call);
  }

  #rearrange(kind: NamesChange['kind'], changes: readonly NameChange[], call: SystemCall): void {
    const kept = changes.map(({ directory, name, target }) => ({ directory, name, target }));
    this.namesChanges.push({ kind, changes: kept, ...spanOf(call) });
    for (const { directory, name, target } of kept) {
      if (target === undefined) directory.names.delete(name);
      else directory.names.set(name, target);
    }
  }

  #seek(call: SystemCall): void {
    if (this.#file(call.arguments[0])?.writable === true) {
      throw new Error('the program seeks in a file that it writes, which is not understood');
    }
  }

  #map(call: SystemCall): void {
    const [, , protection, flags, file] = call.arguments;
    if (!/PROT_WRITE/.test(textOf(protection)) || !/MAP_SHARED/.test(textOf(flags))) return;
    if (this.#file(file) !== undefined) throw new Error('a file is written through memory');
  }

  #file(argument: Argument | undefined): OpenFile | undefined {
    if (argument?.kind !== 'text') return undefined;
    return this.#open.get(numberOf(argument));
  }

  #isOurs(argument: Argument | undefined): boolean {
    const path = pathOf(argument);
    if (path === undefined) return false;
    const clean = normalize(path);
    return clean === this.path || clean.startsWith(`${this.path}/`);
  }

  #place(path: string): Place {
    const clean = normalize(path).replace(/\/$/, '');
    if (clean === this.path) return { directory: this.root, name: '.', inode: this.root };
    const above = this.#place(dirname(clean));
    const directory = above.inode;
    if (directory === undefined) throw new Error(`${dirname(clean)} is not there`);
    const name = clean.slice(clean.lastIndexOf('/') + 1);
    return { directory, name, inode: directory.names.get(name) };
  }
}

function spanOf({ begin, end }: SystemCall): Span {
  return { begin, end };
}

function textOf(argument: Argument | undefined): string {
  return argument?.kind === 'text' ? argument.text : '';
}

function numberOf(argument: Argument | undefined): number {
  const text = textOf(argument);
  return text === '' ? NaN : Number(text.split(' ')[0]);
}

function pathOf(argument: Argument | undefined): string | undefined {
  return argument?.kind === 'bytes' ? argument.bytes.toString() : undefined;
}

/** All strings in an argument, one after the other: a buffer, or the buffers of a vector. */
function bytesOf(argument: Argument | undefined): Buffer {
  if (argument === undefined) return Buffer.alloc(0);
  if (argument.kind === 'bytes') return argument.bytes;
  if (argument.kind === 'text') return Buffer.alloc(0);
  const parts = argument.items.map(bytesOf);
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}
