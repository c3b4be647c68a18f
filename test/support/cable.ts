/** A connection to a member that the test can cut and mend. */
import { type Server, type Socket, connect, createServer } from 'node:net';

/** Forwards from a port of its own to a member. */
export class Cable {
  readonly #target: () => number;
  readonly #sockets = new Set<Socket>();
  #held = false;
  #server: Server | undefined;
  /** Connections accepted so far. */
  connections = 0;
  port = 0;

  /** @param target the member's port on loopback, asked for each connection */
  constructor(target: () => number) {
    this.#target = target;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Accepts connections, on the same port as before if it did already. */
  async plug(): Promise<this> {
    const server = createServer((client) => this.#forward(client));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.port, '127.0.0.1', resolve);
    });
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    this.port = address.port;
    this.#server = server;
    return this;
  }

  /** Breaks the connections that there are, as a crash would. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Moves nothing any more on the connections that there are, and says nothing of it. */
  hold(): void {
    for (const socket of this.#sockets) {
      socket.removeAllListeners('data');
      socket.pause();
    }
  }

  /** Accepts connections and moves no bytes, as a paused process would. */
  holdNext(): void {
    this.#held = true;
  }

  /** Cuts and refuses connections from now on. */
  async unplug(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.cut();
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }

  #forward(client: Socket): void {
    this.connections++;
    if (this.#held) {
      this.#sockets.add(client);
      client.on('error', () => client.destroy());
      client.on('close', () => this.#sockets.delete(client));
      return;
    }
    const member = connect(this.#target(), '127.0.0.1');
    for (const [from, to] of [
      [client, member],
      [member, client],
    ] as const) {
      this.#sockets.add(from);
      from.on('data', (bytes) => {
        if (!to.write(bytes)) {
          from.pause();
          to.once('drain', () => from.resume());
        }
      });
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }
}
