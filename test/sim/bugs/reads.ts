/** Mistakes in linearizable reads, and in taking requests once. */
import type { PlantedBug } from './bug.ts';

export const readBugs: readonly PlantedBug[] = [
  {
    id: 'read-before-own-commit',
    mistake: 9,
    title: 'a new leader names its commit index before it has committed in its term',
    caughtBy: 'linearizability',
    edits: [
      {
        file: 'src/raft/read-index.ts',
        find: 'if (!core.hasCommittedInTerm()) core.reads.addEarly(from, context);\n  else if',
        replace: 'if',
      },
    ],
  },
  {
    id: 'read-ids-reused',
    mistake: 9,
    title: 'rounds of reads share an id, so a late answer to one confirms the next',
    caughtBy: 'linearizability',
    edits: [
      {
        file: 'src/server/server.ts',
        find: 'nextContext: () => this.#readContexts.next(),',
        replace: 'nextContext: () => 1n,',
      },
    ],
  },
  {
    id: 'read-rounds-outlive-leadership',
    mistake: 9,
    title: 'numbers of rounds begin anew with each leadership and answers of any term count',
    caughtBy: 'linearizability',
    edits: [
      {
        file: 'src/raft/step.ts',
        find: 'handleOlderTerm(core, message);\n      return;',
        replace:
          "if (message.type !== 'heartbeatResponse') {\n" +
          'handleOlderTerm(core, message);\n      return;\n}',
      },
    ],
  },
  {
    id: 'lease-reads',
    mistake: 10,
    title: 'a leader answers reads on the strength of its own clock',
    caughtBy: 'linearizability',
    edits: [
      {
        file: 'src/server/raft-options.ts',
        find: 'leaseReads: false',
        replace: 'leaseReads: true',
      },
    ],
  },
  {
    id: 'reads-without-round',
    mistake: 10,
    title: 'whoever believes to lead answers reads at once',
    caughtBy: 'linearizability',
    edits: [
      {
        file: 'src/raft/read-index.ts',
        find: 'else core.reads.add(from, context, core.log.committed);',
        replace: 'else answerRead(core, from, context, core.log.committed);',
      },
    ],
  },
  {
    id: 'read-round-covers-later-reads',
    mistake: 9,
    title: 'a round confirms reads that came after it had begun',
    caughtBy: 'linearizability',
    edits: [
      {
        file: 'src/raft/read-rounds.ts',
        find: 'index, round: this.#round + 1 });',
        replace: 'index, round: Math.max(1, this.#round) });',
      },
    ],
  },
  {
    id: 'reads-before-applied',
    mistake: 9,
    title: 'a read is answered before its index is applied here',
    caughtBy: 'linearizability',
    edits: [
      {
        file: 'src/server/linearizable-reads.ts',
        find: ' && this.#confirmed[0].index <= index) {',
        replace: ') {',
      },
    ],
  },
  {
    id: 'reads-from-local-state',
    mistake: 9,
    title: 'ranges are answered from local state without asking the leader',
    caughtBy: 'linearizability',
    edits: [
      {
        file: 'src/api/kv.ts',
        find:
          'Promise<RangeResponse> {\n    checkRange(request);\n' +
          '    if (!request.serializable) ',
        replace: 'Promise<RangeResponse> {\n    checkRange(request);\n    if (false) ',
      },
    ],
  },
  {
    id: 'request-ids-collide',
    mistake: 9,
    title: 'ids of requests are counted from one by every member, after every start',
    caughtBy: 'linearizability',
    edits: [
      {
        file: 'src/server/request-id.ts',
        find: 'BigInt.asUintN(31, random.bits64()) << 32n',
        replace: '0n',
      },
    ],
  },
  {
    id: 'proposals-made-again',
    mistake: 21,
    title: 'a follower passes its proposals on once more to a new leader',
    caughtBy: 'linearizability',
    edits: [
      {
        file: 'src/server/waiting-proposals.ts',
        find: 'this.#proposals = next === 0 ? proposals : proposals.slice(next);',
        replace:
          'this.gone = proposals.slice(0, next);\n' +
          '    this.#proposals = next === 0 ? proposals : proposals.slice(next);',
      },
      {
        file: 'src/server/waiting-proposals.ts',
        find: 'get count(): number {',
        replace:
          'again(): void {\n    this.#proposals.unshift(...(this.gone ?? []));\n' +
          '    this.gone = [];\n  }\n\n  get count(): number {',
      },
      {
        file: 'src/server/raft-driver.ts',
        find: 'this.#proposals.handOver((datas) => this.#node.propose(datas) === undefined);',
        replace:
          'this.#proposals.handOver((datas) => this.#node.propose(datas) === undefined);\n' +
          '    if (this.isLeader) this.#proposals.gone = [];',
      },
      {
        file: 'src/server/raft-driver.ts',
        find: 'this.#softState = ready.softState;',
        replace: 'this.#softState = ready.softState;\n      this.#proposals.again();',
      },
    ],
  },
  {
    id: 'messages-counted-twice',
    mistake: 'transport',
    // The sender never sends again what a stream may have carried; here it does.
    title: 'a batch is sent again after its stream broke, and taken again',
    caughtBy: 'linearizability',
    edits: [
      {
        file: 'src/transport/inbound.ts',
        find: 'if (seen <= 0) {',
        replace: 'if (seen <= messages.length) {',
      },
      {
        file: 'src/transport/outbound.ts',
        find: 'return encodeBatch(sequence, messages);',
        replace: 'this.last = encodeBatch(sequence, messages);\n    return this.last;',
      },
      {
        file: 'src/transport/outbound.ts',
        find: 'this.#stream = stream;',
        replace:
          'this.#stream = stream;\n    ' +
          'if (this.last !== undefined) this.#controlFrames.push(this.last);',
      },
    ],
  },
  {
    id: 'client-repeats-writes',
    mistake: 21,
    title: 'a client makes a request again when it does not know what came of it',
    caughtBy: 'linearizability',
    edits: [
      {
        file: 'test/sim/port.ts',
        find: '  call<Answer>(',
        replace:
          '  call(member, timeoutMs, invoke, done) {\n' +
          '    this.once(member, timeoutMs, invoke, (ending) => {\n' +
          "      if (ending.kind === 'lost') this.once(member, timeoutMs, invoke, done);\n" +
          '      else done(ending);\n    });\n  }\n' +
          '  once<Answer>(',
      },
    ],
  },
];
