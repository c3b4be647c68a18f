/** Users, roles and whether the cluster asks for them. */
import { Permission } from '../gen/auth.ts';
import {
  AuthDisableRequest,
  type AuthDisableResponse,
  AuthEnableRequest,
  type AuthEnableResponse,
  AuthRoleAddRequest,
  type AuthRoleAddResponse,
  AuthRoleDeleteRequest,
  type AuthRoleDeleteResponse,
  AuthRoleGetRequest,
  type AuthRoleGetResponse,
  AuthRoleGrantPermissionRequest,
  type AuthRoleGrantPermissionResponse,
  AuthRoleListRequest,
  type AuthRoleListResponse,
  AuthRoleRevokePermissionRequest,
  type AuthRoleRevokePermissionResponse,
  AuthStatusRequest,
  type AuthStatusResponse,
  AuthUserAddRequest,
  type AuthUserAddResponse,
  AuthUserChangePasswordRequest,
  type AuthUserChangePasswordResponse,
  AuthUserDeleteRequest,
  type AuthUserDeleteResponse,
  AuthUserGetRequest,
  type AuthUserGetResponse,
  AuthUserGrantRoleRequest,
  type AuthUserGrantRoleResponse,
  AuthUserListRequest,
  type AuthUserListResponse,
  AuthUserRevokeRoleRequest,
  type AuthUserRevokeRoleResponse,
} from '../gen/rpc.ts';
import { Auth } from '../gen/services.ts';
import type { Caller } from './caller.ts';
import type { CallOptions } from './options.ts';
import { type Bytes, bytesOf } from './range-end.ts';

/** Keys of a permission: one, or a range up to but without `rangeEnd`. */
export interface PermissionKeys {
  readonly key: Bytes;
  /** See `prefixEnd` and `fromKeyEnd`. */
  readonly rangeEnd?: Bytes;
}

const { methods } = Auth;

/**
 * The calls of etcd's Auth service. Reads (status, user, users, role, roles) are tried again while
 * members are unavailable, changes never. A server without users and roles refuses them all with
 * UNIMPLEMENTED.
 */
export class AuthCalls {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** From now on the cluster asks who calls. There has to be a user `root` of the role `root`. */
  enable(options?: CallOptions): Promise<AuthEnableResponse> {
    const message = AuthEnableRequest.create();
    return this.#caller.unary(methods.authEnable, message, 'once', options);
  }

  disable(options?: CallOptions): Promise<AuthDisableResponse> {
    const message = AuthDisableRequest.create();
    return this.#caller.unary(methods.authDisable, message, 'once', options);
  }

  /** Whether the cluster asks who calls. */
  status(options?: CallOptions): Promise<AuthStatusResponse> {
    const message = AuthStatusRequest.create();
    return this.#caller.unary(methods.authStatus, message, 'repeatable', options);
  }

  /** @param password undefined for a user who signs in by certificate only */
  addUser(
    name: string,
    password: string | undefined,
    options?: CallOptions,
  ): Promise<AuthUserAddResponse> {
    const message = AuthUserAddRequest.create({
      name,
      password: password ?? '',
      options: { noPassword: password === undefined },
    });
    return this.#caller.unary(methods.userAdd, message, 'once', options);
  }

  deleteUser(name: string, options?: CallOptions): Promise<AuthUserDeleteResponse> {
    const message = AuthUserDeleteRequest.create({ name });
    return this.#caller.unary(methods.userDelete, message, 'once', options);
  }

  /** The roles of a user. */
  user(name: string, options?: CallOptions): Promise<AuthUserGetResponse> {
    const message = AuthUserGetRequest.create({ name });
    return this.#caller.unary(methods.userGet, message, 'repeatable', options);
  }

  users(options?: CallOptions): Promise<AuthUserListResponse> {
    const message = AuthUserListRequest.create();
    return this.#caller.unary(methods.userList, message, 'repeatable', options);
  }

  changePassword(
    name: string,
    password: string,
    options?: CallOptions,
  ): Promise<AuthUserChangePasswordResponse> {
    const message = AuthUserChangePasswordRequest.create({ name, password });
    return this.#caller.unary(methods.userChangePassword, message, 'once', options);
  }

  grantRole(user: string, role: string, options?: CallOptions): Promise<AuthUserGrantRoleResponse> {
    const message = AuthUserGrantRoleRequest.create({ user, role });
    return this.#caller.unary(methods.userGrantRole, message, 'once', options);
  }

  revokeRole(
    name: string,
    role: string,
    options?: CallOptions,
  ): Promise<AuthUserRevokeRoleResponse> {
    const message = AuthUserRevokeRoleRequest.create({ name, role });
    return this.#caller.unary(methods.userRevokeRole, message, 'once', options);
  }

  addRole(name: string, options?: CallOptions): Promise<AuthRoleAddResponse> {
    const message = AuthRoleAddRequest.create({ name });
    return this.#caller.unary(methods.roleAdd, message, 'once', options);
  }

  deleteRole(role: string, options?: CallOptions): Promise<AuthRoleDeleteResponse> {
    const message = AuthRoleDeleteRequest.create({ role });
    return this.#caller.unary(methods.roleDelete, message, 'once', options);
  }

  /** What a role may do. */
  role(role: string, options?: CallOptions): Promise<AuthRoleGetResponse> {
    const message = AuthRoleGetRequest.create({ role });
    return this.#caller.unary(methods.roleGet, message, 'repeatable', options);
  }

  roles(options?: CallOptions): Promise<AuthRoleListResponse> {
    const message = AuthRoleListRequest.create();
    return this.#caller.unary(methods.roleList, message, 'repeatable', options);
  }

  grantPermission(
    name: string,
    permission: PermissionKeys & Pick<Permission, 'permType'>,
    options?: CallOptions,
  ): Promise<AuthRoleGrantPermissionResponse> {
    const { permType } = permission;
    const perm = Permission.create({ permType, ...encoded(permission) });
    const message = AuthRoleGrantPermissionRequest.create({ name, perm });
    return this.#caller.unary(methods.roleGrantPermission, message, 'once', options);
  }

  revokePermission(
    role: string,
    keys: PermissionKeys,
    options?: CallOptions,
  ): Promise<AuthRoleRevokePermissionResponse> {
    const message = AuthRoleRevokePermissionRequest.create({ role, ...encoded(keys) });
    return this.#caller.unary(methods.roleRevokePermission, message, 'once', options);
  }
}

function encoded({ key, rangeEnd = '' }: PermissionKeys): {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
} {
  return { key: bytesOf(key), rangeEnd: bytesOf(rangeEnd) };
}
