/**
 * Logins that a client began and a person confirms in a browser. The client has a secret to ask with; the address that people
 * open has only its digest, so that nobody who sees that address can take the token.
 */
import { createHash } from 'node:crypto';
import { Problem } from '../core/problem.ts';
import type { AccessFacts } from './access.ts';
import { networkOf } from './network.ts';
import type { SealedIdentity } from './sealed.ts';
import { randomText, tokenPrefix } from './token.ts';

export type WebLogin =
  | { readonly state: 'open'; readonly org: string; readonly at: number }
  | { readonly state: 'refused'; readonly org: string; readonly at: number }
  /** No token yet: it is made when the client asks, so that it is written nowhere. */
  | {
      readonly state: 'granted';
      readonly org: string;
      readonly at: number;
      readonly grantedAt: number;
      readonly identity: SealedIdentity;
    };

const lifeMs = 10 * 60_000;
/** Of those that this process opened lately: from one network, so that nobody keeps others from logging in, and from everywhere. */
const mostOpen = { network: 100, everywhere: 20_000 };

export class WebLogins {
  readonly #facts: AccessFacts;
  readonly #now: () => number;
  /** Oldest first. */
  #opened: { readonly at: number; readonly network: string }[] = [];

  constructor(facts: AccessFacts, now: () => number) {
    this.#facts = facts;
    this.#now = now;
  }

  /** `from`: address of the client. */
  open(org: string, from = ''): { readonly session: string; readonly code: string } {
    const at = this.#now();
    const network = networkOf(from);
    this.#opened = this.#opened.filter((one) => at - one.at < lifeMs);
    const alike = this.#opened.filter((one) => one.network === network).length;
    if (alike >= mostOpen.network || this.#opened.length >= mostOpen.everywhere) {
      throw new Problem(
        'too_many_requests',
        'Too many logins wait for somebody to confirm them: try again in some minutes.',
        {
          retryAfterSeconds: 60,
        },
      );
    }
    this.#opened.push({ at, network });
    // Begins as tokens do, so that no log keeps it: clients ask with it in the address.
    const session = `${tokenPrefix}${randomText(40)}`;
    const code = codeOf(session);
    this.#keep(code, { state: 'open', org, at });
    return { session, code };
  }

  #keep(code: string, login: WebLogin): void {
    this.#facts.set(`login/${code}`, login, Math.max(1, login.at + lifeMs - this.#now()));
  }

  /** By the code of the address. `undefined`: there is none any more. */
  async find(code: string): Promise<WebLogin | undefined> {
    const login = (await this.#facts.get(`login/${code}`)) as WebLogin | undefined;
    return login && this.#now() - login.at < lifeMs ? login : undefined;
  }

  async answer(code: string, identity: SealedIdentity | undefined): Promise<void> {
    const login = await this.find(code);
    if (login?.state !== 'open')
      throw new Problem('not_found', 'This login is over: start it again where you began it.');
    const { org, at } = login;
    this.#keep(
      code,
      identity ? { state: 'granted', org, at, grantedAt: this.#now(), identity } : { state: 'refused', org, at },
    );
  }

  /** By the client's secret. One that was granted is told once. */
  async poll(session: string): Promise<WebLogin | undefined> {
    const code = codeOf(session);
    const login = await this.find(code);
    if (login && login.state !== 'open') this.#facts.delete(`login/${code}`);
    return login;
  }
}

const codeOf = (session: string): string => createHash('sha256').update(session).digest('base64url');
