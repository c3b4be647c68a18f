/** Small file systems in memory for members whose disks are to be full. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Room for a log and a state of one run, with little to spare. */
const sizeMib = 96;
const fillerPieceBytes = 1024 * 1024;

const mounted = new Set<string>();
process.on('exit', () => {
  for (const path of mounted) spawnSync('umount', ['-l', path]);
});

/** Why there can be no small disks here; undefined if there can. */
export function whyNoDisks(directory: string): string | undefined {
  if (process.platform !== 'linux') return 'a tmpfs needs Linux';
  if (process.getuid?.() !== 0) return 'mounting a tmpfs needs root';
  const disk = new SmallDisk(join(directory, 'probe'));
  const problem = disk.mount();
  disk.unmount();
  return problem;
}

export class SmallDisk {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** What went wrong, if something did. */
  mount(): string | undefined {
    mkdirSync(this.path, { recursive: true });
    const options = ['-t', 'tmpfs', '-o', `size=${sizeMib}m`, 'tmpfs', this.path];
    const { status, stderr, error } = spawnSync('mount', options, { encoding: 'utf8' });
    if (status !== 0) return error?.message ?? stderr.trim();
    mounted.add(this.path);
    return undefined;
  }

  unmount(): void {
    if (mounted.delete(this.path)) spawnSync('umount', ['-l', this.path]);
  }

  get #filler(): string {
    return join(this.path, 'filler');
  }

  /** Leaves about so many bytes. */
  fill(leaveBytes: number): void {
    for (let piece = 0; ; piece++) {
      const { bavail, bsize } = statfsSync(this.path);
      const excess = bavail * bsize - leaveBytes;
      if (excess <= 0) return;
      const bytes = Buffer.alloc(Math.min(excess, fillerPieceBytes), 1);
      mkdirSync(this.#filler, { recursive: true });
      try {
        writeFileSync(join(this.#filler, String(piece)), bytes);
      } catch (error) {
        // The member writes too: it is full.
        if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return;
        throw error;
      }
    }
  }

  empty(): void {
    rmSync(this.#filler, { recursive: true, force: true });
  }
}
