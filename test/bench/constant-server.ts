/**
 * The ceiling: a server on grpc-js, used as its documentation says, that does nothing but answer
 * puts and gets with the same bytes again and again. It tells whoever forked it its port.
 */
import { Server, ServerCredentials, type sendUnaryData } from '@grpc/grpc-js';
import { KeyValue } from '../../src/gen/kv.ts';
import { PutResponse, RangeResponse, type ResponseHeader } from '../../src/gen/rpc.ts';
import { KV } from '../../src/gen/services.ts';
import { encoded, keyOf, valueOf } from './requests.ts';

const header: ResponseHeader = {
  clusterId: 0xcafe_cafe_cafe_cafen,
  memberId: 0xbeef_beef_beef_beefn,
  revision: 100_000,
  raftTerm: 2,
};
const key = keyOf('constant', 0);
const kv = KeyValue.create({ key, value: valueOf(key), modRevision: 100_000, version: 1 });
const putAnswer = encoded(PutResponse, { header });
const getAnswer = encoded(RangeResponse, { header, kvs: [kv], count: 1 });

const same = (bytes: Buffer): Buffer => bytes;

function methodOf(path: string): {
  path: string;
  requestStream: false;
  responseStream: false;
  requestSerialize: typeof same;
  requestDeserialize: typeof same;
  responseSerialize: typeof same;
  responseDeserialize: typeof same;
} {
  return {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

const { put, range } = KV.methods;
const answerWith =
  (bytes: Buffer) =>
  (_call: unknown, done: sendUnaryData<Buffer>): void =>
    done(null, bytes);

const server = new Server();
server.addService(
  { put: methodOf(put.path), range: methodOf(range.path) },
  { put: answerWith(putAnswer), range: answerWith(getAnswer) },
);
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  process.send?.(port);
});
process.once('disconnect', () => process.exit());
