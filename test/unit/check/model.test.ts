/** The model against the server's state machine: two tellings of one story must agree. */
import { describe, expect, test } from 'vitest';
import { Applier, executeReadOnlyTxn } from '../../../src/apply/applier.ts';
import { checkDeleteRange, checkPut, checkRange, checkTxn } from '../../../src/apply/check.ts';
import { executeRange } from '../../../src/apply/range.ts';
import { type Command, encodeCommand } from '../../../src/apply/request.ts';
import { isReadOnly } from '../../../src/apply/txn.ts';
import { utf8 } from '../../../src/base/bytes.ts';
import { EtcdError } from '../../../src/base/errors.ts';
import { Event } from '../../../src/gen/kv.ts';
import type { RangeResponse } from '../../../src/gen/rpc.ts';
import type { StoredEvent } from '../../../src/mvcc/event.ts';
import type { Store } from '../../../src/mvcc/store.ts';
import type { Answer, Call } from '../../check/history.ts';
import { answerDifference } from '../../check/differences.ts';
import { Model } from '../../check/model.ts';
import { OperationSource } from '../../compat/random-operations.ts';
import { ManualClock, MapBackend, openStore } from '../mvcc/fakes.ts';
import { stateOf } from '../apply/fakes.ts';
import { compact, get, getAll, put, remove, txn, versionIs } from './calls.ts';

const operationsLimit = 128;

type Told = { readonly answer: Answer } | { readonly refused: string };

/** The server's state machine without the rest of a member. */
class StateMachine {
  readonly store: Store = openStore({ backend: new MapBackend(), clock: new ManualClock() });
  readonly #applier: Applier;
  readonly events: Event[] = [];

  constructor() {
    this.#applier = new Applier(stateOf(this.store));
    this.store.setListener({
      changed: (_revision, events) => this.events.push(...events.map((each) => this.#shown(each))),
      compacted: () => undefined,
    });
  }

  /** As a watcher that asks for previous key values sees it. */
  #shown(event: StoredEvent): Event {
    const found = event.withPrevious(({ keyText, modRevision }) =>
      this.store.previous(keyText, modRevision),
    );
    return Event.decode(Event.encode(found));
  }

  run(call: Call): Told {
    try {
      return { answer: this.#answer(call) };
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      return { refused: error.message };
    }
  }

  #answer(call: Call): Answer {
    switch (call.kind) {
      case 'range':
        return executeRange(this.store, call.request);
      case 'put':
        return this.#apply({ case: 'put', value: call.request });
      case 'deleteRange':
        return this.#apply({ case: 'deleteRange', value: call.request });
      case 'txn':
        if (isReadOnly(call.request)) return executeReadOnlyTxn(this.store, call.request);
        return this.#apply({ case: 'txn', value: call.request });
      case 'compact':
        return this.#apply({ case: 'compaction', value: call.request });
    }
  }

  #apply(command: Command): Answer {
    const outcome = this.#applier.apply(encodeCommand(1n, command))?.outcome;
    if (outcome?.error !== undefined) throw outcome.error;
    return outcome?.response as Answer;
  }
}

/** Whether a request gets as far as the state machine. */
function isWellFormed(call: Call): boolean {
  try {
    if (call.kind === 'range') checkRange(call.request);
    if (call.kind === 'put') checkPut(call.request);
    if (call.kind === 'deleteRange') checkDeleteRange(call.request);
    if (call.kind === 'txn') checkTxn(call.request, operationsLimit);
    return true;
  } catch {
    return false;
  }
}

describe('the model', () => {
  const seed = Date.now() % 1_000_000;
  test.each([seed, seed + 1, seed + 2])('answers like the server, seed %i', (chosen) => {
    const source = new OperationSource(chosen, { hasLeases: false });
    const server = new StateMachine();
    const model = new Model();
    let compared = 0;
    while (compared < 1500) {
      const { revision } = model;
      const compacted = Math.max(model.compactedRevision, 0);
      const operation = source.next({ revision, compacted, watches: [], nextWatchId: 0 });
      const call: Call | undefined =
        operation.kind === 'compact'
          ? compact(operation.revision)
          : 'request' in operation && operation.kind !== 'watch'
            ? operation
            : undefined;
      if (call === undefined || !isWellFormed(call)) continue;
      const events = server.events.length;
      const told = server.run(call);
      // The server knows no leases yet; the model takes them as they come.
      if ('refused' in told && told.refused.includes('lease not found')) continue;
      const expected = model.execute(call);
      compared++;
      const where = `call ${compared}: ${call.kind}`;
      if (expected.kind === 'refused' || 'refused' in told) {
        const refused = expected.kind === 'refused' ? expected.message : undefined;
        expect('refused' in told ? told.refused : undefined, where).toBe(refused);
        continue;
      }
      expect(answerDifference(call.kind, told.answer, expected.answer), where).toBeUndefined();
      expect(server.events.slice(events), where).toEqual(
        expected.changes.map(({ event }) => Event.decode(Event.encode(event))),
      );
    }
    expect(model.revision).toBeGreaterThan(500);
  });

  test('shows the past as it was, and what was compacted not at all', () => {
    const model = new Model();
    model.execute(put('a', '1'));
    model.execute(put('a', '2'));
    model.execute(remove('a'));
    const at = (revision: number): RangeResponse | string => {
      const result = model.execute(get('a', { revision }));
      return result.kind === 'refused' ? result.message : (result.answer as RangeResponse);
    };
    expect(at(2)).toMatchObject({ count: 1, kvs: [{ value: utf8('1'), version: 1 }] });
    expect(at(4)).toMatchObject({ count: 0, kvs: [] });
    expect(at(5)).toContain('future revision');
    expect(model.execute(compact(3)).kind).toBe('done');
    expect(at(2)).toContain('compacted');
    expect(at(3)).toMatchObject({ count: 1, kvs: [{ value: utf8('2'), version: 2 }] });
    expect(model.execute(compact(3))).toMatchObject({ kind: 'refused' });
  });

  test('runs a txn as one: it compares what was, and each operation sees those before', () => {
    const model = new Model();
    const inner = txn([versionIs('a', 0)], [get('a')], [get('b')]);
    const result = model.execute(txn([], [put('a', '1'), getAll(), inner]));
    expect(result).toMatchObject({
      kind: 'done',
      answer: {
        header: { revision: 2 },
        responses: [
          { response: { value: { header: { revision: 2 } } } },
          { response: { value: { count: 1 } } },
          { response: { value: { succeeded: true, responses: [{}] } } },
        ],
      },
    });
    expect(model.changesAt(2)).toMatchObject([{ key: 'a', isCreate: true }]);
  });
});
