/** One turn: a system started anew, prepared and warmed up, loaded, checked, and stopped. */
import { setTimeout as delay } from 'node:timers/promises';
import { compareBytes } from '../../src/base/bytes.ts';
import { RangeResponse, type ResponseHeader } from '../../src/gen/rpc.ts';
import { KV } from '../../src/gen/services.ts';
import { checkPerf } from './check-perf.ts';
import { runClient } from './client.ts';
import type { LoadJob } from './client-job.ts';
import { Connection } from './connection.ts';
import { h2load, type H2loadRun } from './h2load.ts';
import type { Figures, MemberUsages } from './measurements.ts';
import {
  frameHeaderBytes,
  framed,
  getOf,
  isValueOf,
  keyOf,
  putAnswerBytes,
  putOf,
  rangeOf,
} from './requests.ts';
import { putKeys } from './prepare.ts';
import { cpuSecondsOf, cpuTimes, peakBytes } from './resources.ts';
import { memberUsages } from './usages.ts';
import { latenciesOf } from './statistics.ts';
import { startSystem, type System, type SystemName } from './systems.ts';
import { preparedPrefix } from './unary-load.ts';
import type { Generator, RepeatedCall, Workload } from './workloads.ts';

export interface TurnOptions {
  readonly root: string;
  readonly directory: string;
  readonly members: number;
  readonly profiles?: string | undefined;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly hasH2load: boolean;
}

/**
 * Calls in flight that warm up a system: with few of them, compilers would not have done with it
 * when the measurement begins, while members of a user have been up for days.
 */
const warmUpInFlight = 100;

/** How long the rate of a load is looked for, once its members are warm. */
const rateSeconds = 2;

/** @throws Error if a call failed or an answer is wrong */
export async function runTurn(
  name: SystemName,
  workload: Workload,
  options: TurnOptions,
): Promise<Figures> {
  const system = await startSystem(name, options);
  try {
    return await new Measurement(system, workload, options).run();
  } finally {
    await system.stop();
  }
}

/** What the members used from a moment on. */
interface Usage {
  readonly cpuSeconds: number;
  readonly peakBytes: number;
  readonly usages?: MemberUsages;
}

class Measurement {
  readonly #system: System;
  readonly #workload: Workload;
  readonly #options: TurnOptions;
  readonly #address: string;

  constructor(system: System, workload: Workload, options: TurnOptions) {
    this.#system = system;
    this.#workload = workload;
    this.#options = options;
    const address = workload.to === 'leader' ? system.leader : system.follower;
    if (address === undefined) throw new Error(`there is no ${workload.to}`);
    this.#address = address;
  }

  async run(): Promise<Figures> {
    const { generator, prepared } = this.#workload;
    if (this.#system.stores) await putKeys(this.#system.leader, preparedPrefix, prepared);
    switch (generator.kind) {
      case 'check-perf':
        return this.#checkPerf(generator);
      case 'client':
        return this.#client(generator.load, generator.connections);
      case 'repeat':
        return this.#options.hasH2load ? this.#h2load(generator) : this.#repeat(generator);
    }
  }

  /** The same call by our own client. */
  #repeat({ request, inFlight, connections }: Generator & { kind: 'repeat' }): Promise<Figures> {
    const { path, message } = requestOf(request);
    const writes = request.call === 'put';
    const load: LoadJob = { kind: 'repeat', path, body: framed(message), inFlight, writes };
    return this.#client(load, connections);
  }

  async #client(load: LoadJob, connections: number): Promise<Figures> {
    const { root, warmUpSeconds, seconds } = this.#options;
    let before = 0;
    let usage = this.#usage();
    const run = { load, address: this.#address, connections, warmUpSeconds, seconds };
    const result = await runClient(run, root, async () => {
      before = await this.#quietRevision();
      usage = this.#usage();
    });
    const used = usage();
    if (this.#system.stores) {
      expectEqual('revisions', (await this.#header()).revision - before, result.writes);
    }
    if (result.operations === 0) throw new Error('no operation was done');
    return this.#figures('client', result, used, {
      generatorShare: result.cpuSeconds / result.seconds / result.processes,
      latenciesUs: result.latenciesUs,
    });
  }

  async #h2load({
    request,
    inFlight,
    connections,
    atHalf,
  }: Generator & { kind: 'repeat' }): Promise<Figures> {
    const { warmUpSeconds, seconds } = this.#options;
    const { path, message } = requestOf(request);
    const load: Omit<H2loadRun, 'amount'> = {
      address: this.#address,
      path,
      body: framed(message),
      connections,
      streams: inFlight / connections,
    };
    const warmUp = inFlight < warmUpInFlight && { connections: 10, streams: warmUpInFlight / 10 };
    await h2load({ ...load, ...warmUp, amount: { seconds: warmUpSeconds } });
    const amount = { seconds: Math.min(warmUpSeconds, rateSeconds) };
    const { callsPerSecond: most } = await h2load({ ...load, amount });
    const callsPerSecond = atHalf ? most / 2 : most;
    const calls = Math.max(inFlight, Math.round(callsPerSecond * seconds));
    const before = await this.#quietRevision();
    const answerBytes = await this.#answerBytes(request);
    const usage = this.#usage();
    const result = await h2load({
      ...load,
      amount: { calls },
      ...(atHalf && { callsPerSecond }),
    });
    const used = usage();
    expectEqual('calls with HTTP status 2xx', result.succeeded, calls);
    expectEqual('failed calls', result.failed, 0);
    const data = await this.#expectedBytes(request, { calls, before, answerBytes });
    expectEqual('bytes of answers', result.dataBytes, data);
    const latenciesUs = result.latenciesUs;
    const generatorShare = result.cpuSeconds / result.seconds;
    const done = { operations: calls, seconds: result.seconds };
    return this.#figures('h2load', done, used, { generatorShare, latenciesUs });
  }

  /**
   * Length of one answer with its frame, after a look at what is in it; a put of ours would be one
   * revision more.
   */
  async #answerBytes(request: RepeatedCall): Promise<number> {
    if (this.#system.stores && request.call === 'put') return 0;
    const { path, message } = requestOf(request);
    const connection = await Connection.open(this.#address);
    try {
      const answer = await connection.call(path, framed(message));
      if (this.#system.stores) checkKeys(RangeResponse.decode(answer), request);
      return frameHeaderBytes + answer.length;
    } finally {
      connection.close();
    }
  }

  /** What so many answers without an error make, and whether the store has what was put. */
  async #expectedBytes(
    { call }: RepeatedCall,
    { calls, before, answerBytes }: { calls: number; before: number; answerBytes: number },
  ): Promise<number> {
    if (!this.#system.stores) return calls * answerBytes;
    const header = await this.#header();
    expectEqual('revisions', header.revision - before, call === 'put' ? calls : 0);
    if (call !== 'put') return calls * answerBytes;
    return putAnswerBytes(await this.#headerOfAddress(header), before, header.revision);
  }

  async #checkPerf({ load }: { readonly load: 's' | 'm' | 'l' | 'xl' }): Promise<Figures> {
    const usage = this.#usage();
    const startMs = performance.now();
    const before = cpuTimes('self').children;
    const { passed, lines, writesPerSecond } = await checkPerf(this.#system.endpoints, load);
    const seconds = (performance.now() - startMs) / 1000;
    const generatorShare = (cpuTimes('self').children - before) / seconds;
    const operations = Math.round(writesPerSecond * seconds);
    const figures = this.#figures('etcdctl', { operations, seconds }, usage(), { generatorShare });
    return { ...figures, verdict: { passed, lines } };
  }

  /** From now until the result is called. */
  #usage(): () => Usage {
    const { pids } = this.#system;
    const before = cpuSecondsOf(pids);
    const usages = this.#options.profiles === undefined ? undefined : memberUsages(this.#system);
    return () => ({
      cpuSeconds: cpuSecondsOf(pids) - before,
      peakBytes: pids.reduce((sum, pid) => sum + peakBytes(pid), 0),
      ...(usages !== undefined && { usages: usages() }),
    });
  }

  /** A linearizable read of nothing. */
  async #header(address = this.#system.leader): Promise<ResponseHeader> {
    const connection = await Connection.open(address);
    try {
      const { header } = await connection.unary(KV.methods.range, { key: Buffer.from('~') });
      if (header === undefined) throw new Error('an answer without a header');
      return header;
    } finally {
      connection.close();
    }
  }

  /** The header of the member that was asked, which has its own name in it. */
  async #headerOfAddress(header: ResponseHeader): Promise<ResponseHeader> {
    return this.#address === this.#system.leader ? header : this.#header(this.#address);
  }

  /** The revision once calls that nobody waits for any more have come to their end. */
  async #quietRevision(): Promise<number> {
    if (!this.#system.stores) return 0;
    let { revision } = await this.#header();
    for (;;) {
      await delay(100);
      const now = (await this.#header()).revision;
      if (now === revision) return now;
      revision = now;
    }
  }

  #figures(
    generator: Figures['generator'],
    { operations, seconds }: { operations: number; seconds: number },
    used: Usage,
    of: { generatorShare: number; latenciesUs?: Uint32Array },
  ): Figures {
    const latencies = latenciesOf(of.latenciesUs ?? new Uint32Array(0));
    return {
      generator,
      operations,
      seconds,
      ...used,
      generatorShare: of.generatorShare,
      ...(latencies !== undefined && { latencies }),
    };
  }
}

/** The call that a generator repeats. */
function requestOf(request: RepeatedCall): { path: string; message: Buffer } {
  const { range, put } = KV.methods;
  switch (request.call) {
    case 'put':
      return { path: put.path, message: putOf(keyOf('put', 0)) };
    case 'get':
      return { path: range.path, message: getOf(keyOf(preparedPrefix, 0), request.serializable) };
    case 'range':
      return { path: range.path, message: rangeOf(preparedPrefix, request.keys) };
  }
}

/** @throws Error unless these are the prepared keys that were asked for, with their values */
function checkKeys({ kvs }: RangeResponse, request: RepeatedCall): void {
  expectEqual('keys in an answer', kvs.length, request.call === 'range' ? request.keys : 1);
  for (const [i, { key, value }] of kvs.entries()) {
    const expected = keyOf(preparedPrefix, i);
    const isRight = compareBytes(key, expected) === 0 && isValueOf(value, expected);
    if (!isRight) throw new Error(`key ${i} of an answer is another one, or has another value`);
  }
}

function expectEqual(what: string, seen: number, expected: number): void {
  if (seen !== expected) throw new Error(`${what}: ${seen}, expected ${expected}`);
}
