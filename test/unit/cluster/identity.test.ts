import { describe, expect, test } from 'vitest';
import { clusterIdOf, idToString, memberIdOf } from '../../../src/cluster/identity.ts';

describe('identity', () => {
  // Printed by etcd 3.4.23 when started with these URLs and the default token.
  test('a single default member has the ids that etcd gives it', () => {
    const member = memberIdOf(['http://localhost:2380'], 'etcd-cluster');
    expect(idToString(member)).toBe('8e9e05c52164694d');
    expect(idToString(clusterIdOf([member]))).toBe('cdf818194e3a8c32');
  });

  test('neither the order of URLs nor that of members matters', () => {
    const a = memberIdOf(['http://10.0.0.1:2380', 'http://10.0.0.2:2380'], 't');
    const b = memberIdOf(['http://10.0.0.2:2380', 'http://10.0.0.1:2380'], 't');
    expect(a).toBe(b);
    const c = memberIdOf(['http://10.0.0.3:2380'], 't');
    expect(clusterIdOf([a, c])).toBe(clusterIdOf([c, a]));
  });

  test('token and time of addition change the id', () => {
    const urls = ['http://10.0.0.1:2380'];
    const ids = [memberIdOf(urls, 'a'), memberIdOf(urls, 'b'), memberIdOf(urls, 'a', 1.5)];
    expect(new Set(ids).size).toBe(3);
    expect(memberIdOf(urls, 'a', 1)).toBe(ids[2]);
  });
});
