/** Two ends of one connection within this process; Node has no socketpair(2). */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

const host = '127.0.0.1';

/**
 * Ends that are connected over loopback. The listener lives until they are, and takes nobody else.
 *
 * @throws the system's error, e.g. when there are no more file descriptors
 */
export async function connectedPair(): Promise<readonly [Socket, Socket]> {
  const server = createServer({ noDelay: true });
  try {
    server.listen({ host, port: 0 });
    await once(server, 'listening');
    const near = connect({ host, port: (server.address() as AddressInfo).port, noDelay: true });
    try {
      const [far] = await Promise.all([otherEnd(server, near), once(near, 'connect')]);
      return [near, far];
    } catch (error) {
      near.destroy();
      throw error;
    }
  } finally {
    server.close();
  }
}

/** The other end of `near`. Whoever else has found the port is sent away. */
function otherEnd(server: Server, near: Socket): Promise<Socket> {
  return new Promise((resolve, reject) => {
    /** Come before `near` has a port of its own to compare with. */
    const waiting = new Set<Socket>();
    const fail = (error: Error): void => {
      for (const socket of waiting) socket.destroy();
      reject(error);
    };
    server.on('error', fail);
    near.once('error', fail);
    near.once('close', () => fail(new Error('the connection within the process was closed')));
    const judge = (socket: Socket): void => {
      waiting.delete(socket);
      if (socket.remotePort === near.localPort) resolve(socket);
      else socket.destroy();
    };
    server.on('connection', (socket) => {
      // Nobody else listens yet, and a stranger may break off.
      socket.on('error', () => socket.destroy());
      if (!near.connecting) {
        judge(socket);
        return;
      }
      waiting.add(socket);
      near.once('connect', () => judge(socket));
    });
  });
}
