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
    'Learners promoted while this member led.',
  )();
  const failures = metrics.counter(
    'etcd_server_learner_promote_failures',
    'Promotions of learners that failed while this member led, by the reason.',
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
