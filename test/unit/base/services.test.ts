/** The services as gRPC's own loader reads them from what the package ships for other clients. */
import { loadPackageDefinition, type ServiceClientConstructor } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import { describe, expect, test } from 'vitest';
import descriptors from '../../../src/gen/descriptors.json' with { type: 'json' };
import type { MethodDefinition } from '../../../src/base/wire.ts';
import { utf8 } from '../../../src/base/bytes.ts';
import * as services from '../../../src/gen/services.ts';
import { PutRequest } from '../../../src/gen/rpc.ts';

type Descriptors = Parameters<typeof fromJSON>[0];

const loaded = fromJSON(descriptors as unknown as Descriptors, { longs: Number });
const packages = loadPackageDefinition(loaded);

function clientOf(name: string): ServiceClientConstructor {
  let found: unknown = packages;
  for (const part of name.split('.')) found = (found as Record<string, unknown>)[part];
  return found as ServiceClientConstructor;
}

describe.each(Object.values(services).map((service) => [service.name, service] as const))(
  '%s',
  (name, service) => {
    const { service: theirs } = clientOf(name);
    const ours = Object.values(service.methods) as unknown as MethodDefinition<object, object>[];

    test('has the same methods', () => {
      expect(ours.map((method) => method.name).sort()).toEqual(Object.keys(theirs).sort());
    });

    test.each(ours.map((method) => [method.name, method] as const))('%s', (method, own) => {
      expect({
        path: own.path,
        requestStream: own.requestStream,
        responseStream: own.responseStream,
      }).toEqual({
        path: theirs[method]?.path,
        requestStream: theirs[method]?.requestStream,
        responseStream: theirs[method]?.responseStream,
      });
      expect(
        theirs[method]?.requestDeserialize(Buffer.from(own.request.encode(own.request.create()))),
      ).toBeDefined();
    });
  },
);

test('a message goes either way', () => {
  const { Put: put } = clientOf('etcdserverpb.KV').service;
  const request = { key: utf8('k'), value: utf8('v'), lease: 7n };
  const bytes = put?.requestSerialize({ ...request, lease: 7 });
  expect(PutRequest.decode(bytes ?? new Uint8Array(0))).toMatchObject({
    ...request,
    key: Buffer.from('k'),
    value: Buffer.from('v'),
  });
});
