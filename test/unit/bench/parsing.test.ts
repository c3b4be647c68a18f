import { describe, expect, test } from 'vitest';
import { parseCheckPerf } from '../../bench/check-perf.ts';
import { parseH2load, parseH2loadLog } from '../../bench/h2load.ts';
import {
  cpuTimes,
  parseCpuTimes,
  parsePeakBytes,
  parseResidentBytes,
  peakBytes,
} from '../../bench/resources.ts';

const h2loadOutput = `progress: 100% done

finished in 352.84ms, 5668.32 req/s, 411.46KB/s
requests: 2000 total, 2000 started, 2000 done, 1990 succeeded, 7 failed, 3 errored, 0 timeout
status codes: 1990 2xx, 0 3xx, 0 4xx, 7 5xx
traffic: 145.18KB (148662) total, 3.93KB (4024) headers (space savings 94.71%), 66.28KB (67874) data
                     min         max         mean         sd        +/- sd
time for request:      334us     10.55ms      1.69ms      1.38ms    87.40%
`;

describe('h2load', () => {
  test('tells times, calls that succeeded and failed, and the bytes of the answers', () => {
    const summary = parseH2load(h2loadOutput);
    expect(summary.seconds).toBeCloseTo(0.35284, 6);
    expect(summary).toMatchObject({
      callsPerSecond: 5668.32,
      succeeded: 1990,
      failed: 10,
      dataBytes: 67874,
    });
  });

  test.each([
    ['5.02s', 5.02],
    ['900us', 0.0009],
    ['1.5m', 90],
  ])('a run of %s', (text, seconds) => {
    expect(parseH2load(h2loadOutput.replace('352.84ms', text)).seconds).toBeCloseTo(seconds, 9);
  });

  test('what is no summary is refused with what it says', () => {
    expect(() => parseH2load('could not connect')).toThrow('could not connect');
  });

  test('its log tells the duration of each call', () => {
    const log = '1795854994170400\t200\t1843\n1795854994170950\t200\t4426\n';
    expect([...parseH2loadLog(log)]).toEqual([1843, 4426]);
  });
});

describe('etcdctl check perf', () => {
  const bar = ' 58 / 60   96.67% 00m01s\r 60 / 60  100.00% 1m0s\n';

  test('passes with its figures, after a progress bar', () => {
    const said = ['PASS: Throughput is 148 writes/s', 'PASS: Slowest request took 0.181297s'];
    expect(parseCheckPerf(`${bar}${said.join('\n')}\nPASS\n`)).toEqual({
      passed: true,
      lines: said,
      writesPerSecond: 148,
    });
  });

  test('passes on the line of the progress bar, too', () => {
    const said = '59 / 60   98.33%PASS: Throughput is 151 writes/s';
    const verdict = parseCheckPerf(`${said}\nPASS\n`);
    expect(verdict).toMatchObject({ passed: true, lines: ['PASS: Throughput is 151 writes/s'] });
  });

  test('fails with them', () => {
    const said = 'FAIL: Throughput too low: 87 writes/s\nPASS: Stddev is 0.009185s';
    const verdict = parseCheckPerf(`${bar}${said}\nFAIL\n`);
    expect(verdict).toMatchObject({ passed: false, writesPerSecond: 87 });
  });

  test('an output that ends early is no verdict', () => {
    const early = `${bar}PASS: Throughput is 148 writes/s\n`;
    expect(() => parseCheckPerf(early)).toThrow('Throughput is 148');
  });
});

describe('/proc', () => {
  test('CPU times stand after a name that may hold anything', () => {
    const stat = '42 (node) x (1) S 1 42 42 0 -1 4194560 100 200 0 0 250 50 130 20 20 0 1 0 9';
    expect(parseCpuTimes(stat)).toEqual({ own: 3, system: 0.5, children: 1.5 });
  });

  test('the peak of memory is in units of 1024 bytes', () => {
    expect(parsePeakBytes('VmPeak:\t  999 kB\nVmHWM:\t   123 kB\nVmRSS:\t 5 kB\n')).toBe(125952);
    expect(() => parsePeakBytes('VmRSS: 5 kB\n')).toThrow('VmHWM');
    expect(parseResidentBytes('VmHWM:\t   123 kB\nVmRSS:\t 5 kB\n')).toBe(5120);
  });

  test('this process has used some of both', () => {
    expect(cpuTimes('self').own).toBeGreaterThan(0);
    expect(peakBytes(process.pid)).toBeGreaterThan(10_000_000);
  });
});
