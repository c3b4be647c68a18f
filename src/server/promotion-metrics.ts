/** etcd's counts of promotions of learners, kept by the member that leads. */
import { etcdErrors, type EtcdErrorName } from '../base/errors.ts';
import type { Metrics } from '../base/metrics.ts';

export interface PromotionMetrics {
  succeeded(): void;
  failed(reason: EtcdErrorName): void;
}

/** Reasons that etcd counts in other words than it tells clients. */
const countedWords: Readonly<Partial<Record<EtcdErrorName, string>>> = {
  memberNotFound: 'membership: ID not found',
  memberNotLearner: 'membership: can only promote a learner member',
};

export function createPromotionMetrics(metrics: Metrics): PromotionMetrics {
  const successes = metrics.counter(
    'etcd_server_learner_promote_successes',
    'The total number of successful learner promotions while this member is leader.',
  )();
  const failures = metrics.counter(
    'etcd_server_learner_promote_failures',
    'The total number of failed learner promotions (likely learner not ready) ' +
      'while this member is leader.',
    ['Reason'],
  );
  return {
    succeeded: () => {
      successes.increment();
    },
    failed: (reason) => {
      failures(countedWords[reason] ?? etcdErrors[reason][1]).increment();
    },
  };
}
