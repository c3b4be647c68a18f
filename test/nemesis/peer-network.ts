/**
 * The network between members: each peer port is known to the others by a proxy's address, and each
 * direction of each pair can be cut, slowed or broken on its own.
 *
 * All that dial a member dial the same address, so a proxy learns who is calling from the hello
 * that opens every stream. What comes before it is HTTP/2's preface and settings: they pass freely.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { memberIdOf } from '../../src/cluster/identity.ts';
import { Flow, Link } from './flow.ts';

/** The kind of a hello and the protocol's magic (src/transport/frames.ts). */
const helloMark = Buffer.from([1, 0x51, 0x52, 0x54, 0]);
/** From there to the caller's id: two versions of 2 bytes each, and the cluster's id of 8. */
const callerOffset = helloMark.length + 4 + 8;
/** A hello comes within the first kilobytes, or this is no member. */
const openingLimitBytes = 16 * 1024;
/** etcd's default for --initial-cluster-token, which ids are made of. */
const clusterToken = 'etcd-cluster';

interface Proxy {
  readonly name: string;
  readonly url: string;
  readonly targetPort: number;
  readonly server: Server;
}

interface Connection {
  readonly dialler: string;
  readonly listener: string;
  readonly break: () => void;
}

/** The id of the member that dials, once enough has come; undefined until then. */
export function callerOf(opening: Buffer): bigint | undefined {
  const at = opening.indexOf(helloMark);
  if (at < 0 || opening.length < at + callerOffset + 8) return undefined;
  return opening.readBigUInt64LE(at + callerOffset);
}

export class PeerNetwork {
  readonly #proxies: Proxy[] = [];
  readonly #names = new Map<bigint, string>();
  readonly #links = new Map<string, Link>();
  readonly #connections = new Set<Connection>();
  readonly #sockets = new Set<Socket>();

  /**
   * Opens a proxy for each peer URL; members are m1, m2 and so on, over all calls. Returns what to
   * advertise.
   */
  async open(peerUrls: readonly string[]): Promise<readonly string[]> {
    const known = this.#proxies.length;
    for (const peerUrl of peerUrls) await this.#open(`m${this.#proxies.length + 1}`, peerUrl);
    for (const from of this.members) {
      for (const to of this.members) {
        const name = `${from}>${to}`;
        if (from !== to && !this.#links.has(name)) this.#links.set(name, new Link(from, to));
      }
    }
    return this.#proxies.slice(known).map(({ url }) => url);
  }

  /** A member that was no founder has got this id. Nobody knows it before, and it is not let in. */
  identify(id: bigint, name: string): void {
    this.#names.set(id, name);
  }

  get members(): readonly string[] {
    return this.#proxies.map(({ name }) => name);
  }

  get links(): readonly Link[] {
    return [...this.#links.values()];
  }

  /** Connections that have said who they are. */
  get connections(): number {
    return this.#connections.size;
  }

  link(from: string, to: string): Link {
    const link = this.#links.get(`${from}>${to}`);
    if (link === undefined) throw new Error(`no link from ${from} to ${to}`);
    return link;
  }

  /** Links in both directions between members of different groups; who is in none is alone. */
  between(groups: readonly (readonly string[])[]): readonly Link[] {
    const groupOf = (name: string): number => groups.findIndex((group) => group.includes(name));
    return this.links.filter(({ from, to }) => {
      return groupOf(from) < 0 || groupOf(from) !== groupOf(to);
    });
  }

  /** Breaks the connections between two members, as a reset does. */
  reset(a: string, b: string): void {
    for (const connection of [...this.#connections]) {
      const { dialler, listener } = connection;
      if ((dialler === a && listener === b) || (dialler === b && listener === a)) {
        connection.break();
      }
    }
  }

  /** All links are whole and fast. */
  heal(): void {
    for (const link of this.links) {
      link.slow(() => 0);
      link.mend();
    }
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(
      this.#proxies.map(({ server }) => new Promise((resolve) => server.close(resolve))),
    );
  }

  async #open(name: string, peerUrl: string): Promise<void> {
    const targetPort = Number(new URL(peerUrl).port);
    const server = createServer({ noDelay: true }, (socket) => this.#accept(name, socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const url = `http://127.0.0.1:${address.port}`;
    this.#proxies.push({ name, url, targetPort, server });
    this.#names.set(memberIdOf([url], clusterToken), name);
  }

  #accept(listener: string, dialling: Socket): void {
    const proxy = this.#proxies.find(({ name }) => name === listener);
    if (proxy === undefined) throw new Error(`no proxy of ${listener}`);
    const serving = connect({ port: proxy.targetPort, host: '127.0.0.1', noDelay: true });
    for (const socket of [dialling, serving]) {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    }
    const there = new Flow(dialling, serving);
    const back = new Flow(serving, dialling);
    let opening: Buffer | undefined = Buffer.alloc(0);
    dialling.on('data', (bytes: Buffer) => {
      if (opening !== undefined) {
        opening = Buffer.concat([opening, bytes]);
        const caller = callerOf(opening);
        if (caller !== undefined) {
          opening = undefined;
          this.#identified({ listener, caller, dialling, serving, there, back });
        } else if (opening.length > openingLimitBytes) {
          dialling.destroy();
          return;
        }
      }
      there.send(bytes);
    });
    serving.on('data', (bytes: Buffer) => back.send(bytes));
  }

  #identified(call: {
    listener: string;
    caller: bigint;
    dialling: Socket;
    serving: Socket;
    there: Flow;
    back: Flow;
  }): void {
    const { listener, dialling, serving } = call;
    const dialler = this.#names.get(call.caller);
    if (dialler === undefined) {
      dialling.destroy();
      return;
    }
    call.there.link = this.link(dialler, listener);
    call.back.link = this.link(listener, dialler);
    const connection: Connection = {
      dialler,
      listener,
      break: () => {
        dialling.resetAndDestroy();
        serving.resetAndDestroy();
      },
    };
    this.#connections.add(connection);
    dialling.once('close', () => this.#connections.delete(connection));
  }
}
