/** What every output format can be asked to print. */
import { ExitCode, ExitError } from '../exit.ts';
import type {
  AlarmResponse,
  AuthRoleGetResponse,
  AuthRoleListResponse,
  AuthStatusResponse,
  AuthUserGetResponse,
  AuthUserListResponse,
  DeleteRangeResponse,
  DowngradeResponse,
  HashKVResponse,
  LeaseGrantResponse,
  LeaseKeepAliveResponse,
  LeaseLeasesResponse,
  LeaseRevokeResponse,
  LeaseTimeToLiveResponse,
  MemberAddResponse,
  MemberListResponse,
  MemberPromoteResponse,
  MemberRemoveResponse,
  MemberUpdateResponse,
  MoveLeaderResponse,
  PutResponse,
  RangeResponse,
  ResponseHeader,
  ResponseOp,
  StatusResponse,
  TxnResponse,
  WatchResponse,
} from '../../gen/rpc.ts';
import type { SnapshotStatus } from '../../snapshot/status.ts';
import type { Terminal } from '../terminal.ts';

export interface EndpointHealth {
  readonly endpoint: string;
  readonly isHealthy: boolean;
  /** A duration as Go writes it; empty if the endpoint was not reached. */
  readonly took: string;
  readonly error: string;
}

export interface EndpointStatus {
  readonly endpoint: string;
  readonly status: StatusResponse;
}

export interface EndpointHash {
  readonly endpoint: string;
  readonly hash: HashKVResponse;
}

/** An answer that has nothing but its header. */
export interface Acknowledgement {
  readonly header: ResponseHeader | undefined;
}

export type DowngradeStep = 'validate' | 'enable' | 'cancel';

/** The parts of a watch's response that formats show. */
export type WatchView = Pick<
  WatchResponse,
  'header' | 'events' | 'compactRevision' | 'canceled' | 'created'
>;

export interface Printer {
  readonly format: string;
  /** Leaves keys out, where the format can do without. */
  valuesOnly: boolean;
  range(response: RangeResponse): void;
  put(response: PutResponse): void;
  deleteRange(response: DeleteRangeResponse): void;
  txn(response: TxnResponse): void;
  watch(response: WatchView): void;
  grant(response: LeaseGrantResponse): void;
  revoke(id: bigint, response: LeaseRevokeResponse): void;
  keepAlive(response: LeaseKeepAliveResponse): void;
  /** @param keys whether the keys that hang on the lease were asked for */
  timeToLive(response: LeaseTimeToLiveResponse, keys: boolean): void;
  leases(response: LeaseLeasesResponse): void;
  memberAdd(response: MemberAddResponse): void;
  memberRemove(id: bigint, response: MemberRemoveResponse): void;
  memberUpdate(id: bigint, response: MemberUpdateResponse): void;
  memberPromote(id: bigint, response: MemberPromoteResponse): void;
  memberList(response: MemberListResponse): void;
  endpointHealth(list: readonly EndpointHealth[]): void;
  endpointStatus(list: readonly EndpointStatus[]): void;
  endpointHash(list: readonly EndpointHash[]): void;
  snapshotStatus(status: SnapshotStatus): void;
  alarms(response: AlarmResponse): void;
  moveLeader(leader: bigint, target: bigint, response: MoveLeaderResponse): void;
  downgrade(what: DowngradeStep, response: DowngradeResponse): void;
  /** @param told what was done, for people */
  acknowledged(told: string, response: Acknowledgement): void;
  authStatus(response: AuthStatusResponse): void;
  user(name: string, response: AuthUserGetResponse): void;
  users(response: AuthUserListResponse): void;
  role(name: string, response: AuthRoleGetResponse): void;
  roles(response: AuthRoleListResponse): void;
}

export interface PrinterOptions {
  readonly hex: boolean;
}

/** Refuses all; formats override what they can show. */
export abstract class BasePrinter implements Printer {
  abstract readonly format: string;
  valuesOnly = false;
  protected readonly terminal: Terminal;
  protected readonly hex: boolean;

  constructor(terminal: Terminal, options: PrinterOptions) {
    this.terminal = terminal;
    this.hex = options.hex;
  }

  range(_response: RangeResponse): void {
    this.#refuse();
  }

  put(_response: PutResponse): void {
    this.#refuse();
  }

  deleteRange(_response: DeleteRangeResponse): void {
    this.#refuse();
  }

  txn(_response: TxnResponse): void {
    this.#refuse();
  }

  watch(_response: WatchView): void {
    this.#refuse();
  }

  grant(_response: LeaseGrantResponse): void {
    this.#refuse();
  }

  revoke(_id: bigint, _response: LeaseRevokeResponse): void {
    this.#refuse();
  }

  keepAlive(_response: LeaseKeepAliveResponse): void {
    this.#refuse();
  }

  timeToLive(_response: LeaseTimeToLiveResponse, _keys: boolean): void {
    this.#refuse();
  }

  leases(_response: LeaseLeasesResponse): void {
    this.#refuse();
  }

  memberAdd(_response: MemberAddResponse): void {
    this.#refuse();
  }

  memberRemove(_id: bigint, _response: MemberRemoveResponse): void {
    this.#refuse();
  }

  memberUpdate(_id: bigint, _response: MemberUpdateResponse): void {
    this.#refuse();
  }

  memberPromote(_id: bigint, _response: MemberPromoteResponse): void {
    this.#refuse();
  }

  memberList(_response: MemberListResponse): void {
    this.#refuse();
  }

  endpointHealth(_list: readonly EndpointHealth[]): void {
    this.#refuse();
  }

  endpointStatus(_list: readonly EndpointStatus[]): void {
    this.#refuse();
  }

  endpointHash(_list: readonly EndpointHash[]): void {
    this.#refuse();
  }

  snapshotStatus(_status: SnapshotStatus): void {
    this.#refuse();
  }

  alarms(_response: AlarmResponse): void {
    this.#refuse();
  }

  moveLeader(_leader: bigint, _target: bigint, _response: MoveLeaderResponse): void {
    this.#refuse();
  }

  downgrade(_what: DowngradeStep, _response: DowngradeResponse): void {
    this.#refuse();
  }

  acknowledged(_told: string, _response: Acknowledgement): void {
    this.#refuse();
  }

  authStatus(_response: AuthStatusResponse): void {
    this.#refuse();
  }

  user(_name: string, _response: AuthUserGetResponse): void {
    this.#refuse();
  }

  users(_response: AuthUserListResponse): void {
    this.#refuse();
  }

  role(_name: string, _response: AuthRoleGetResponse): void {
    this.#refuse();
  }

  roles(_response: AuthRoleListResponse): void {
    this.#refuse();
  }

  /** Prints one answer of a transaction; false if it is none that is known. */
  protected operation({ response }: ResponseOp): boolean {
    switch (response?.case) {
      case 'responseRange':
        this.range(response.value);
        return true;
      case 'responsePut':
        this.put(response.value);
        return true;
      case 'responseDeleteRange':
        this.deleteRange(response.value);
        return true;
      case 'responseTxn':
        this.txn(response.value);
        return true;
      case undefined:
        return false;
    }
  }

  #refuse(): never {
    throw new ExitError(ExitCode.badFeature, `${this.format} not supported as output format`);
  }
}
