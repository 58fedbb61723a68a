/** From what a request shows to who it is. */
import type { Shown } from '../core/access.ts';
import { publish } from '../core/events.ts';
import { anonymous, type Identity, type TokenLimits } from '../core/identity.ts';
import type { AccessFacts } from './access.ts';
import type { Directory, KnownToken } from './directory.ts';
import { anonymousPass } from './identify.ts';
import { networkOf } from './network.ts';
import { endOf, type Organisation, type Organisations } from './organisations.ts';
import { Failures, isPassword, RecentPasswords } from './password.ts';
import { isSealed, type SealedIdentity, type Seals } from './sealed.ts';
import { hashOfToken, isWellFormed, tokenPrefix } from './token.ts';

/** What is only known of credentials once they were looked at. */
export interface Standing {
  /** Milliseconds since 1970. */
  readonly expiresAt?: number;
  /** The token that was shown, or that a sealed one was given for. */
  readonly parent?: string;
  /** The organisation as it was when the credentials were found good. Absent: they say it all themselves. */
  readonly judged?: { readonly directory: Directory; readonly version: number };
  /** When the token that a sealed one was given for ends; milliseconds since 1970. */
  readonly parentUntil?: number;
}

const withPass: Identity = { kind: 'anonymous', presented: true };
/** How often the last use of a token is written down at most. */
const noteEveryMs = 60_000;
const mostNoted = 10_000;
/** No change can be made, and the next request sent by whoever was told of it, in less. */
const lookEveryMs = 1;
/** Each takes 16 MB and a processor. */
const checksAtOnce = 2;
const mostWaiting = 50;
/** Different passwords for one user from one address. */
const guessesAtOnce = 3;
const longestPassword = 1024;

export class Identification {
  readonly #orgs: Organisations;
  readonly #seals: Seals;
  readonly #facts: AccessFacts;
  readonly #now: () => number;
  readonly #failures: Failures;
  readonly #recent: RecentPasswords;
  readonly #noted = new Map<string, number>();
  /** When an organisation was last seen to be as it is known here; milliseconds of a clock that is never set back. */
  readonly #lookedAt = new Map<string, number>();
  readonly #standing = new WeakMap<Identity, Standing>();
  /** Those under way: by user and address, then by password. */
  readonly #checks = new Map<string, Map<string, Promise<boolean | undefined>>>();
  #checking = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(parts: {
    readonly orgs: Organisations;
    readonly seals: Seals;
    readonly facts: AccessFacts;
    readonly now: () => number;
  }) {
    this.#orgs = parts.orgs;
    this.#seals = parts.seals;
    this.#facts = parts.facts;
    this.#now = parts.now;
    this.#failures = new Failures(parts.now);
    this.#recent = new RecentPasswords(parts.now);
  }

  standingOf(identity: Identity): Standing {
    return this.#standing.get(identity) ?? {};
  }

  /** `org`: whose users a user name is looked for among; '': everybody's. */
  async identify(org: string, shown: Shown | undefined): Promise<Identity> {
    if (!shown) return anonymous;
    const ours = [shown.secret, shown.user].map((one) => one.trim()).find((one) => one.startsWith(tokenPrefix));
    if (ours !== undefined) return isSealed(ours) ? this.#unseal(ours) : this.#findToken(ours);
    if (shown.secret === anonymousPass || shown.kind !== 'basic' || shown.user === '' || shown.secret === '') {
      return withPass;
    }
    const orgs = org === '' ? this.#orgs.names : [org];
    let wrong: Identity | undefined;
    for (const one of orgs) {
      const found = await this.password(one, shown.user, shown.secret, shown.from);
      if (found?.kind === 'user' || found?.kind === 'service') return found;
      wrong ??= found;
    }
    return wrong ?? withPass;
  }

  /** `undefined`: there is no such user, or none with a password: the credentials are somebody else's. */
  async password(org: string, user: string, password: string, from?: string): Promise<Identity | undefined> {
    const directory = (await this.#orgs.current(org))?.directory;
    const kind = directory?.kindOf(user);
    const kept = directory?.password(user)?.kept;
    if (!directory || kind === undefined || kept === undefined) return undefined;
    const who = `${org}/${user}`;
    const identity: Identity = { kind, name: user, org, presented: true };
    if (this.#recent.has(who, password, kept)) return identity;
    // Whoever guesses from elsewhere must not keep the user out.
    const key = from === undefined ? who : `${who} from ${networkOf(from)}`;
    const waitMs = this.#failures.waitMs(key);
    if (waitMs > 0) {
      return rejected(`Too many wrong passwords for ${user}: try again in ${Math.ceil(waitMs / 1000)} seconds.`);
    }
    const isRight = password.length <= longestPassword && (await this.#check(key, who, password, kept));
    if (isRight === undefined) return rejected('Too many passwords are being checked: try again in a moment.');
    if (!isRight) return rejected(wrongPassword(user));
    return identity;
  }

  /** A client that comes with many requests at once has its password checked once; different ones at once are guesses. */
  async #check(key: string, who: string, password: string, kept: string): Promise<boolean | undefined> {
    const checks = this.#checks.get(key) ?? new Map<string, Promise<boolean | undefined>>();
    const known = checks.get(password);
    if (known) return known;
    if (checks.size >= guessesAtOnce) return undefined;
    this.#checks.set(key, checks);
    const check = this.#inTurn(() => isPassword(password, kept)).finally(() => {
      checks.delete(password);
      if (checks.size === 0) this.#checks.delete(key);
    });
    checks.set(password, check);
    const isRight = await check;
    if (isRight === false) this.#failures.failed(key);
    if (isRight) {
      this.#failures.succeeded(key);
      this.#recent.add(who, password, kept);
    }
    return isRight;
  }

  /** `undefined`: too many wait already. */
  async #inTurn<T>(check: () => Promise<T>): Promise<T | undefined> {
    if (this.#checking >= checksAtOnce) {
      if (this.#waiting.length >= mostWaiting) return undefined;
      await new Promise<void>((done) => this.#waiting.push(done));
    }
    this.#checking++;
    try {
      return await check();
    } finally {
      this.#checking--;
      this.#waiting.shift()?.();
    }
  }

  async #findToken(shown: string): Promise<Identity> {
    if (!isWellFormed(shown)) return rejected('This token is mistyped or cut off: its checksum does not match.');
    const hash = hashOfToken(shown);
    const of = (await this.#orgs.tokenOfHash(hash))?.of;
    // As it is at this moment, which is what `lasting` goes by.
    const token = of?.directory.tokenOfHash(hash);
    if (!of || !token) return rejected('There is no such token here any more.');
    const end = endOf(token, of.directory, this.#now());
    if (end) return rejected(end.reason);
    this.#note(token.id);
    return this.ofToken(of, token);
  }

  /** Whoever a valid token belongs to. */
  ofToken({ directory }: Organisation, token: KnownToken): Identity {
    const identity: Identity = {
      kind: directory.kindOf(token.user) ?? 'user',
      name: token.user,
      org: directory.org,
      presented: true,
      token: limitsOf(token),
    };
    this.#standing.set(identity, {
      parent: token.id,
      judged: { directory, version: directory.version },
      ...(token.expiresAt === undefined ? {} : { expiresAt: Date.parse(token.expiresAt) }),
    });
    return identity;
  }

  async #unseal(shown: string): Promise<Identity> {
    const opened = await this.#seals.open<SealedIdentity>('token', shown.slice(tokenPrefix.length));
    if (opened === 'expired') return rejected('This short-lived token has expired; ask for another one.');
    if (!opened) return rejected('This short-lived token is damaged, or was sealed with a key that is gone.');
    const { value, issuedAt, expiresAt } = opened;
    return this.revive(value, issuedAt, expiresAt);
  }

  /** Whether what was sealed some time ago still holds. `issuedAt` and `expiresAt` in seconds. */
  async revive(value: SealedIdentity, issuedAt: number, expiresAt: number): Promise<Identity> {
    const { kind, name, org, token, claims, parent, mark } = value;
    const found = kind === 'ci' || org === undefined ? undefined : await this.#orgs.current(org);
    if (kind !== 'ci') {
      const reason = found
        ? (this.#whyOver(found, name, parent, issuedAt) ?? this.#whyOther(found, name, mark))
        : `There is no organisation ${org} here any more.`;
      if (reason !== undefined) return rejected(reason);
    }
    const identity: Identity = {
      kind,
      name,
      presented: true,
      ...(org === undefined ? {} : { org }),
      ...(token === undefined ? {} : { token }),
      ...(claims === undefined ? {} : { claims }),
    };
    this.#standing.set(identity, {
      expiresAt: expiresAt * 1000,
      ...(parent === undefined ? {} : { parent }),
      ...(found ? judgedBy(found, parent) : {}),
    });
    if (parent !== undefined) this.#note(parent);
    return identity;
  }

  #whyOver(
    { directory }: Organisation,
    name: string,
    parent: string | undefined,
    issuedAt: number,
  ): string | undefined {
    if (parent !== undefined) {
      const token = directory.token(parent);
      return token ? endOf(token, directory, this.#now())?.reason : 'The token that this one was given for is gone.';
    }
    if (directory.kindOf(name) === undefined) return `${name} is no member of ${directory.org} any more.`;
    const changed = [directory.userSince(name), directory.password(name)?.since ?? ''];
    const isOlder = changed.some((at) => at !== '' && Math.floor(Date.parse(at) / 1000) > issuedAt);
    return isOlder ? `The password of ${name} was changed: sign in again.` : undefined;
  }

  /** Also one that the configuration says, which has no time. */
  #whyOther({ directory }: Organisation, name: string, mark: string | undefined): string | undefined {
    if (mark === undefined || mark === this.#markOf(directory, name)) return undefined;
    return `The password of ${name} was changed: sign in again.`;
  }

  #markOf(directory: Directory, name: string): string {
    return this.#seals.mark(JSON.stringify([directory.org, name, directory.password(name)?.kept ?? null]));
  }

  /** What ends with the identity's password, or with the token that it showed. `undefined` for those whom nothing is known of. */
  sealedOf(identity: Identity): SealedIdentity | undefined {
    const { kind, name, org, token, claims } = identity;
    if (kind === 'anonymous' || name === undefined) return undefined;
    const { parent } = this.standingOf(identity);
    const directory = kind === 'ci' || parent !== undefined ? undefined : this.#orgs.known(org ?? '')?.directory;
    return {
      kind,
      name,
      ...(org === undefined ? {} : { org }),
      ...(token === undefined ? {} : { token }),
      ...(claims === undefined ? {} : { claims }),
      ...(parent === undefined ? {} : { parent }),
      ...(directory ? { mark: this.#markOf(directory, name) } : {}),
    };
  }

  /**
   * Of what was shown as a token: as long as it has not ended and nothing at all was changed in its organisation, here or by another
   * process. Passwords are looked at each time.
   */
  lasting(identity: Identity): (() => boolean) | undefined {
    const { expiresAt, parent, parentUntil, judged } = this.standingOf(identity);
    const { kind, org } = identity;
    if (kind === 'anonymous' || (kind === 'ci' ? expiresAt === undefined : !judged)) return undefined;
    const until = Math.min(expiresAt ?? Number.POSITIVE_INFINITY, parentUntil ?? Number.POSITIVE_INFINITY);
    return () => {
      if (until <= this.#now()) return false;
      if (judged && org !== undefined) {
        if (judged.directory.version !== judged.version || !this.#isCurrent(org)) return false;
        if (this.#orgs.known(org)?.directory !== judged.directory) return false;
      }
      if (parent !== undefined) this.#note(parent);
      return true;
    };
  }

  /** A look at the disk costs a tenth of an answer: of requests that come within the same moment one looks for all. */
  #isCurrent(org: string): boolean {
    const now = performance.now();
    if (now - (this.#lookedAt.get(org) ?? Number.NEGATIVE_INFINITY) < lookEveryMs) return true;
    if (!this.#orgs.isCurrent(org)) return false;
    this.#lookedAt.set(org, now);
    return true;
  }

  #note(id: string): void {
    const now = this.#now();
    if (now - (this.#noted.get(id) ?? Number.NEGATIVE_INFINITY) < noteEveryMs) return;
    if (this.#noted.size >= mostNoted) this.#noted.delete(this.#noted.keys().next().value ?? '');
    this.#noted.set(id, now);
    try {
      this.#facts.set(`used/${id}`, new Date(now).toISOString());
    } catch (error) {
      publish('fault', { where: 'noting the use of a token', error });
    }
  }

  /** ISO 8601. */
  async lastUse(id: string): Promise<string | undefined> {
    const at = await this.#facts.get(`used/${id}`);
    return typeof at === 'string' ? at : undefined;
  }
}

function judgedBy({ directory }: Organisation, parent: string | undefined): Pick<Standing, 'judged' | 'parentUntil'> {
  const end = parent === undefined ? undefined : directory.token(parent)?.expiresAt;
  return {
    judged: { directory, version: directory.version },
    ...(end === undefined ? {} : { parentUntil: Date.parse(end) }),
  };
}

/** The same for a user that there is not. */
export const wrongPassword = (user: string): string => `There is no user ${user.slice(0, 100)} with this password.`;

const rejected = (reason: string): Identity => ({ kind: 'anonymous', presented: true, rejected: reason });

function limitsOf({ id, may, repositories, names }: KnownToken): TokenLimits {
  return { id, may, ...(repositories ? { repositories } : {}), ...(names ? { names } : {}) };
}
