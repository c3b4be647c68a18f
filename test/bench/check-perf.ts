/** etcd's own judgement of a cluster: `etcdctl check perf`. */
import { execFile } from 'node:child_process';

export type PerfLoad = 's' | 'm' | 'l' | 'xl';

export interface PerfVerdict {
  readonly passed: boolean;
  /** Its words, of throughput, slowest request and deviation. */
  readonly lines: readonly string[];
  readonly writesPerSecond: number;
}

/** Twice the minute that it takes. */
const timeLimitMs = 120_000;

/** @param output with the progress bar, which rewrites its line and may stand before a verdict */
export function parseCheckPerf(output: string): PerfVerdict {
  const lines = output.split(/[\r\n]+/).map((line) => line.trim());
  const verdicts = lines.flatMap((line) => /(?:PASS|FAIL)(?::.*)?$/.exec(line)?.[0] ?? []);
  const throughput = verdicts.map((line) => /throughput.*?([\d.]+) writes\/s/i.exec(line));
  const rate = throughput.find((found) => found !== null)?.[1];
  const last = verdicts.at(-1);
  if (rate === undefined || last === undefined || !/^(PASS|FAIL)$/.test(last)) {
    throw new Error(`etcdctl check perf says something else than expected:\n${lines.join('\n')}`);
  }
  return { passed: last === 'PASS', lines: verdicts.slice(0, -1), writesPerSecond: Number(rate) };
}

/** Takes a minute. @param endpoints of all members */
export async function checkPerf(endpoints: string, load: PerfLoad): Promise<PerfVerdict> {
  const output = await new Promise<string>((resolve) => {
    execFile(
      'etcdctl',
      [`--endpoints=${endpoints}`, 'check', 'perf', `--load=${load}`],
      { timeout: timeLimitMs, env: { PATH: process.env['PATH'], ETCDCTL_API: '3' } },
      // A verdict of FAIL is an exit code too, so the output tells, and not the error.
      (_error, stdout, stderr) => resolve(`${stdout}\n${stderr}`),
    );
  });
  return parseCheckPerf(output);
}
