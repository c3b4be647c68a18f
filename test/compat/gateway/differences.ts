/** Where the gateway of Quorate answers otherwise than that of the etcd beside it, and why. */
export interface GatewayDifference {
  /** Matches lines `case > step path: etcd …, ours …`. */
  readonly line: RegExp;
  readonly etcd: RegExp;
  readonly reason: string;
  /** What Quorate must serve before the difference can show (see ../pending.ts). */
  readonly needs?: string;
}

/** All of 3.4 and 3.5, whose gateway is grpc-gateway 1. */
const old = /^3\.[45]\./;

export const gatewayDifferences: readonly GatewayDifference[] = [
  {
    line: /^malformed .* body\.(error|message): /,
    etcd: old,
    reason: 'The JSON decoder of 3.6 (protojson) has other words.',
  },
  {
    line: / status: etcd 412, ours 400$/,
    etcd: old,
    needs: 'etcdserverpb.Lease',
    reason: 'FailedPrecondition was the status 412 in grpc-gateway 1.',
  },
  {
    line: /^paths and methods > /,
    etcd: old,
    reason: '3.6 tells wrong paths and methods in JSON, the latter as 501.',
  },
  {
    line: /^members and status > 3 .*(storageVersion|dbSizeQuota|downgradeInfo): etcd undefined/,
    etcd: old,
    reason: 'These fields of Status came with 3.6.',
  },
  {
    line: /^(members and status > 4|maintenance > [3-6]) .*header/,
    etcd: old,
    reason: 'The header of an Alarm answer is filled in since 3.5.',
  },
];
