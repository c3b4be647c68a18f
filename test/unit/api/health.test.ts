/** The health service of gRPC, without a port. */
import { describe, expect, test } from 'vitest';
import { HealthService } from '../../../src/api/health.ts';
import type { CallContext } from '../../../src/api/handler.ts';
import { ServingStatus } from '../../../src/gen/health.ts';

function watch(health: HealthService, service: string, controller = new AbortController()) {
  const context = { signal: controller.signal } as CallContext;
  const changes = health.watch({ service }, context);
  const next = async (): Promise<ServingStatus | undefined> => {
    const change = await changes.next();
    return change.done === true ? undefined : change.value.status;
  };
  return { next, controller };
}

describe('health', () => {
  test('is not serving before and after it serves', async () => {
    const health = new HealthService();
    const status = async (): Promise<ServingStatus> => (await health.check({ service: '' })).status;
    expect(await status()).toBe(ServingStatus.notServing);
    health.serve();
    expect(await status()).toBe(ServingStatus.serving);
    health.stop();
    expect(await status()).toBe(ServingStatus.notServing);
    await expect(health.check({ service: 'x' })).rejects.toThrow('unknown service');
  });

  test('is told to those who watch, whenever they listen', async () => {
    const health = new HealthService();
    const [first, second] = [watch(health, ''), watch(health, '')];
    expect(await first.next()).toBe(ServingStatus.notServing);
    expect(await second.next()).toBe(ServingStatus.notServing);
    const waiting = first.next();
    health.serve();
    expect(await waiting).toBe(ServingStatus.serving);
    expect(await second.next()).toBe(ServingStatus.serving);
    health.stop();
    expect(await first.next()).toBe(ServingStatus.notServing);
    expect(await first.next()).toBeUndefined();
    expect(await second.next()).toBe(ServingStatus.notServing);
    expect(await second.next()).toBeUndefined();
  });

  test('of an unknown service never changes', async () => {
    const health = new HealthService();
    const unknown = watch(health, 'x');
    expect(await unknown.next()).toBe(ServingStatus.serviceUnknown);
    const waiting = unknown.next();
    health.serve();
    health.stop();
    expect(await waiting).toBeUndefined();
  });

  test('a watch ends with its call', async () => {
    const left = watch(new HealthService(), '');
    expect(await left.next()).toBe(ServingStatus.notServing);
    const waiting = left.next();
    left.controller.abort();
    expect(await waiting).toBeUndefined();
  });
});
