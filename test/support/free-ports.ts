/**
 * Ports for servers that are started a moment later, and again after each fault. Tests run in
 * several processes: what one was given must not be given to another one meanwhile, whether
 * somebody listens there or not. So each port has a file with the process that has it.
 */
import { randomInt } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

/** Below those that a kernel gives to outgoing connections, which might take one before its use. */
const portRange = [10_000, 32_768] as const;

const reservations = join(tmpdir(), `quorate-ports-${userInfo().uid}`);
const ours = new Set<string>();
process.on('exit', () => {
  for (const path of ours) rmSync(path, { force: true });
});

/** Ports on which nobody listens, of this process until it ends. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = randomInt(...portRange);
    if (!reservePort(port)) continue;
    // Whoever it is that listens there knows nothing of reservations.
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

/** Whether the port was nobody's. That of a process that has ended is free the next time. */
export function reservePort(port: number): boolean {
  const path = join(reservations, String(port));
  mkdirSync(reservations, { recursive: true });
  try {
    writeFileSync(path, String(process.pid), { flag: 'wx' });
    ours.add(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if (!isHeld(path)) rmSync(path, { force: true });
    return false;
  }
}

function isHeld(path: string): boolean {
  try {
    const pid = Number(readFileSync(path, 'utf8'));
    // Empty while its process is about to write it.
    if (pid > 0) process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function isFree(port: number): Promise<boolean> {
  const server: Server = createServer();
  const isFree = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(error);
    });
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
  if (isFree) await new Promise((done) => server.close(done));
  return isFree;
}
