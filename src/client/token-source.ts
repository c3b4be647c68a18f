/** The token that goes with every call. */
import { StatusCode } from '../base/errors.ts';
import { ClientError } from './errors.ts';

/**
 * Signs in when a token is needed and there is none. Calls that need one at the same time wait for
 * the same sign-in.
 */
export class TokenSource {
  readonly #signIn: (() => Promise<string>) | undefined;
  #token: string | undefined;
  #pending: Promise<string> | undefined;

  /**
   * @param token used as it is, for good
   * @param signIn asks a server for a token
   */
  constructor(token: string | undefined, signIn?: () => Promise<string>) {
    this.#signIn = signIn;
    this.#token = signIn === undefined ? (token ?? '') : undefined;
  }

  /** Whether a refused token can be replaced. */
  get renews(): boolean {
    return this.#signIn !== undefined;
  }

  /**
   * The token, empty if there is nothing to send.
   *
   * @throws ClientError what the server says to user and password
   */
  async get(): Promise<string> {
    if (this.#token !== undefined) return this.#token;
    const signIn = this.#signIn;
    if (signIn === undefined) return '';
    this.#pending ??= this.#renew(signIn).finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  /** Forgets `token` if it is still the one in use, so that the next call signs in again. */
  refuse(token: string): void {
    if (this.renews && this.#token === token) this.#token = undefined;
  }

  async #renew(signIn: () => Promise<string>): Promise<string> {
    try {
      this.#token = await signIn();
    } catch (error) {
      // A cluster that asks nobody takes every call without a token.
      if (!isAuthOff(error)) throw error;
      this.#token = '';
    }
    return this.#token;
  }
}

const isAuthOff = (error: unknown): boolean =>
  error instanceof ClientError &&
  error.code === StatusCode.failedPrecondition &&
  error.message === 'etcdserver: authentication is not enabled';
