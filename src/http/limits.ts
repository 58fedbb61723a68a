/**
 * What one client may take of the server, per address and per identity, and what all clients of an organisation may take
 * together. Every organisation has accounts of its own: what somebody uses up in one is not missing in another.
 */
import { publish } from '../core/events.ts';
import { type Identity, nameOfIdentity } from '../core/identity.ts';
import { Problem } from '../core/problem.ts';
import { Account, type By, type ClientLimits } from './limits-account.ts';
import { Accounts } from './limits-accounts.ts';
import { addressKey } from './limits-address.ts';
import { type Clock, clock, type Pace } from './limits-pacer.ts';

export interface LimitSettings {
  /** Accounts of addresses, and as many of identities. */
  readonly accounts: number;
  /** What holds for organisations that say nothing, and outside of all of them. */
  readonly usual: PartyLimits;
  /** By name; whole, with what `usual` says filled in. */
  readonly orgs: Readonly<Record<string, PartyLimits & { readonly total: ClientLimits }>>;
}

export interface PartyLimits {
  readonly perAddress: ClientLimits;
  readonly perIdentity: ClientLimits;
}

/** What requests over a connection for something in memory are measured by. */
export interface Gate {
  readonly remote: string;
  readonly repository: string;
  readonly org: string;
  readonly generation: number;
  readonly address: Account | undefined;
  readonly total: Account | undefined;
}

/** Who asks, as far as it is known when a request arrives. */
export interface Arrival {
  readonly requestId: string;
  /** Of the client, also behind trusted proxies. */
  readonly remote: string;
  /** `-`: no organisation's business. */
  readonly org: string;
}

/** One request that is being answered. */
export interface Visit {
  /** Once it is known who asks and that they may; throws `too_many_requests`. */
  admit(identity: Identity): void;
  /** Of the answer; `undefined`: as fast as it goes. */
  readonly download: Pace | undefined;
  /** Of the request's body. */
  readonly upload: Pace | undefined;
  /** The last byte is out, or the client is gone. Once. */
  leave(): void;
}

/** Addresses of the control plane, and of nothing. */
export const noOrg = '-';

export class Limits {
  readonly #clock: Clock;
  readonly #addresses: Accounts;
  readonly #identities: Accounts;
  readonly #totals = new Map<string, Account>();
  #settings: LimitSettings;
  #generation = 0;
  /** Whether anything but the number of connections is limited anywhere; while nothing is, nobody is counted. */
  isActive = false;

  constructor(settings: LimitSettings, time: Clock = clock) {
    this.#clock = time;
    this.#settings = settings;
    this.#addresses = new Accounts(settings.accounts, (org) => this.#open('address', org));
    this.#identities = new Accounts(settings.accounts, (org) => this.#open('identity', org));
    this.change(settings);
  }

  /** Takes effect for everybody at once; what was used stays used, and transfers that are slowed go on at the new pace. */
  change(settings: LimitSettings): void {
    this.#settings = settings;
    this.#generation++;
    for (const accounts of [this.#addresses, this.#identities, this.#totals.values()]) {
      for (const account of accounts) account.limits = this.#limitsOf(account.by, account.org);
    }
    const all = [settings.usual, ...Object.values(settings.orgs)].flatMap((party) => Object.values(party));
    this.isActive = all.some(isLimited);
  }

  /**
   * Whether so many bytes may be given out of memory at once; if so they are counted, otherwise nothing is. Asked for each
   * hit while anything is limited, so what it looks at is kept with the connection.
   */
  takeHot(
    connection: { gate: Gate | undefined },
    remote: string,
    repository: string,
    bytes: number,
    reader?: Identity,
  ): boolean {
    let { gate } = connection;
    if (gate?.remote !== remote || gate.repository !== repository || !this.#isCurrent(gate)) {
      gate = this.#gate(remote, repository);
      connection.gate = gate;
    }
    const { address, total } = gate;
    const identity = reader && this.#identityAccount(reader, gate.org);
    if (!address && !identity && !total) return true;
    // A look at the clock costs as much as all the rest.
    const now = this.#clock.now();
    if (address && !mayTakeHot(address, now)) return false;
    if (identity && !mayTakeHot(identity, now)) return false;
    if (total && !mayTakeHot(total, now)) return false;
    if (address) takeHot(address, bytes, now);
    if (identity) takeHot(identity, bytes, now);
    if (total) takeHot(total, bytes, now);
    return true;
  }

  #gate(remote: string, repository: string): Gate {
    const org = repository.slice(0, repository.indexOf('/'));
    return {
      remote,
      repository,
      org,
      generation: this.#generation,
      address: this.#addressAccount(remote, org),
      total: this.#total(org),
    };
  }

  #isCurrent(gate: Gate): boolean {
    return gate.generation === this.#generation && !gate.address?.isForgotten;
  }

  /** Throws `too_many_requests`. `undefined`: nothing is limited there. */
  enter(arrival: Arrival): Visit | undefined {
    const { remote, org } = arrival;
    const parties = this.#partiesOf(org);
    const total = this.#total(org);
    if (!total && !isLimited(parties.perAddress) && !isLimited(parties.perIdentity)) return undefined;
    const address = this.#addressAccount(remote, org);
    if (address) refuseOver(address, arrival);
    address?.takeRequest();
    return new Admission(arrival, address, total, (identity) => this.#identityAccount(identity, org));
  }

  #identityAccount(identity: Identity, org: string): Account | undefined {
    if (identity.kind === 'anonymous' || !isLimited(this.#partiesOf(org).perIdentity)) return undefined;
    return this.#identities.of(org, nameOfIdentity(identity));
  }

  #addressAccount(remote: string, org: string): Account | undefined {
    return isLimited(this.#partiesOf(org).perAddress) ? this.#addresses.of(org, addressKey(remote)) : undefined;
  }

  #total(org: string): Account | undefined {
    const limits = this.#limitsOf('org', org);
    if (!isLimited(limits)) return undefined;
    let account = this.#totals.get(org);
    if (!account) {
      account = this.#open('org', org);
      this.#totals.set(org, account);
    }
    return account;
  }

  #open(by: By, org: string): Account {
    return new Account(by, org, this.#limitsOf(by, org), this.#clock);
  }

  #limitsOf(by: By, org: string): ClientLimits {
    switch (by) {
      case 'address':
        return this.#partiesOf(org).perAddress;
      case 'identity':
        return this.#partiesOf(org).perIdentity;
      case 'org':
        return Object.hasOwn(this.#settings.orgs, org) ? (this.#settings.orgs[org]?.total ?? {}) : {};
    }
  }

  #partiesOf(org: string): PartyLimits {
    const own = Object.hasOwn(this.#settings.orgs, org) ? this.#settings.orgs[org] : undefined;
    return own ?? this.#settings.usual;
  }
}

function isLimited(limits: ClientLimits): boolean {
  for (const _ in limits) return true;
  return false;
}

const mayTakeHot = (account: Account, now: number): boolean =>
  account.mayRequest(now) && !account.download?.isBusy(now);

function takeHot(account: Account, bytes: number, now: number): void {
  account.takeRequest();
  account.download?.take(bytes, now);
}

/** What is refused takes nothing from anybody. */
function refuseOver(account: Account, arrival: Arrival): void {
  if (!account.mayRequest()) throw refused(account, 'requests', arrival, account.secondsToWait);
  if (!account.mayTransfer) throw refused(account, 'transfers', arrival, 1);
}

const whose = {
  address: 'this address has sent',
  identity: 'these credentials have been used for',
  org: 'this organisation has had',
} as const satisfies Record<By, string>;

function refused(account: Account, kind: 'requests' | 'transfers', arrival: Arrival, seconds: number): Problem {
  const { by, limits } = account;
  publish('limited', { by, kind, org: account.org, remote: arrival.remote, requestId: arrival.requestId });
  const many =
    kind === 'requests'
      ? `more requests than the ${limits.requests?.perSecond} per second that it may`
      : `more than the ${limits.transfers} requests that may be answered at the same time`;
  return new Problem(
    'too_many_requests',
    `Too many requests: ${whose[by]} ${many}. Go on in ${seconds} ${seconds === 1 ? 'second' : 'seconds'}, or have fewer at a time.`,
    { retryAfterSeconds: seconds },
  );
}

class Admission implements Visit {
  readonly #arrival: Arrival;
  readonly #total: Account | undefined;
  readonly #identityAccount: (identity: Identity) => Account | undefined;
  /** Those it counts for. */
  readonly #accounts: Account[] = [];
  #slowed = false;
  #isOver = false;

  constructor(
    arrival: Arrival,
    address: Account | undefined,
    total: Account | undefined,
    identityAccount: (identity: Identity) => Account | undefined,
  ) {
    this.#arrival = arrival;
    this.#total = total;
    this.#identityAccount = identityAccount;
    if (address) this.#join(address);
  }

  /** Nobody's share is touched before all agree, so that what one refuses costs the others nothing. */
  admit(identity: Identity): void {
    if (this.#isOver) return;
    const identityAccount = this.#identityAccount(identity);
    const accounts = [identityAccount, this.#total].filter((account) => account !== undefined);
    for (const account of accounts) refuseOver(account, this.#arrival);
    for (const account of accounts) {
      account.takeRequest();
      this.#join(account);
    }
  }

  get download(): Pace | undefined {
    return this.#pace('download');
  }

  get upload(): Pace | undefined {
    return this.#pace('upload');
  }

  /** What it waits for would be missing to others. */
  leave(): void {
    this.#isOver = true;
    for (const account of this.#accounts.splice(0)) {
      account.running--;
      account.download?.leave(this);
      account.upload?.leave(this);
    }
  }

  #join(account: Account): void {
    account.running++;
    this.#accounts.push(account);
  }

  #pace(way: 'download' | 'upload'): Pace | undefined {
    const limited = this.#accounts.filter((account) => account[way] !== undefined);
    if (limited.length === 0) return undefined;
    const slices = (): number[] => limited.map((account) => account[way]?.sliceBytes ?? Number.POSITIVE_INFINITY);
    return {
      get sliceBytes() {
        return Math.min(64 * 1024, ...slices());
      },
      take: (bytes) => this.#take(limited, way, bytes, 0),
    };
  }

  /** From one after the other; usually none of them has to be waited for, and then nothing is. */
  #take(
    accounts: readonly Account[],
    way: 'download' | 'upload',
    bytes: number,
    from: number,
  ): Promise<void> | undefined {
    for (let at = from; at < accounts.length && !this.#isOver; at++) {
      const account = accounts[at] as Account;
      const turn = account[way]?.take(bytes, undefined, this);
      if (turn) return this.#wait(account, turn).then(() => this.#take(accounts, way, bytes, at + 1));
    }
    return undefined;
  }

  async #wait({ by, org }: Account, turn: Promise<void>): Promise<void> {
    const { remote, requestId } = this.#arrival;
    if (!this.#slowed) {
      this.#slowed = true;
      publish('limited', { by, org, kind: 'bandwidth', remote, requestId });
    }
    const from = performance.now();
    await turn;
    publish('throttled', { by, org, ms: performance.now() - from });
  }
}
