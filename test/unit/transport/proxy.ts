/** A line between two members that can be cut or stalled. */
import net from 'node:net';

export class Proxy {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  #target = 0;
  #cut = false;
  #stalled = false;

  private constructor() {
    this.#server = net.createServer((near) => {
      if (this.#cut || this.#target === 0) {
        near.destroy();
        return;
      }
      const far = net.connect(this.#target, '127.0.0.1');
      this.#join(near, far);
      this.#join(far, near);
    });
  }

  static open(): Promise<Proxy> {
    const proxy = new Proxy();
    return new Promise((resolve) => {
      proxy.#server.listen(0, '127.0.0.1', () => resolve(proxy));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`;
  }

  /** The port to forward to; connections to an earlier one are cut. */
  setTarget(port: number): void {
    this.#target = port;
    this.#drop();
  }

  setCut(cut: boolean): void {
    this.#cut = cut;
    if (cut) this.#drop();
  }

  /** Nothing is forwarded and nothing is lost: a receiver that does not read. */
  setStalled(stalled: boolean): void {
    this.#stalled = stalled;
    for (const socket of this.#sockets) {
      if (stalled) socket.pause();
      else socket.resume();
    }
  }

  close(): void {
    this.#drop();
    this.#server.close();
  }

  #join(from: net.Socket, to: net.Socket): void {
    this.#sockets.add(from);
    from.setNoDelay(true);
    from.on('data', (data) => {
      if (!to.write(data)) from.pause();
    });
    to.on('drain', () => {
      if (!this.#stalled) from.resume();
    });
    from.on('error', () => {});
    from.on('close', () => {
      this.#sockets.delete(from);
      to.destroy();
    });
    if (this.#stalled) from.pause();
  }

  #drop(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
