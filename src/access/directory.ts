/** One organisation as it is now: what the configuration says, and on top of it what its journal says. In memory. */
import type { Written } from '../core/journal.ts';
import type { AccessRule } from '../core/repository.ts';
import type { AccessChange, TokenRecord } from './changes.ts';
import type { OrgSettings, ProjectSettings } from './settings.ts';

export interface KnownToken extends TokenRecord {
  /** ISO 8601. */
  readonly revokedAt?: string;
}

interface KnownUser {
  readonly service: boolean;
  readonly createdAt: string;
}

interface SignedIn {
  readonly subject: string;
  readonly teams: readonly string[];
}

/** What a checkpoint consists of. */
type Kept =
  | { readonly change: AccessChange; readonly at: string }
  | { readonly revoked: string; readonly at: string }
  /** Ids that were used and are never given again. */
  | { readonly spent: readonly string[] };

const nothing: OrgSettings = { teams: {}, access: [], users: {}, projects: {} };

/** How long a checkpoint remembers tokens that ended, so that whoever shows one hears why it does not count. */
const rememberMs = 90 * 86_400_000;

export class Directory {
  readonly org: string;
  /** Another one after every change. */
  version = 0;
  readonly #now: () => number;
  #settings: OrgSettings = nothing;
  #users = new Map<string, KnownUser>();
  #passwords = new Map<string, { readonly hash: string; readonly at: string }>();
  #teams = new Map<string, Set<string>>();
  #signedIn = new Map<string, SignedIn>();
  #rules = new Map<string, AccessRule>();
  #projects = new Map<string, ProjectSettings>();
  #tokens = new Map<string, KnownToken>();
  #byHash = new Map<string, string>();
  #spent = new Set<string>();
  /** Users that only a team of the configuration names. */
  #teamUsers = new Set<string>();
  #teamsByUser: { readonly version: number; readonly byUser: ReadonlyMap<string, readonly string[]> } | undefined;

  constructor(org: string, now: () => number) {
    this.org = org;
    this.#now = now;
  }

  configure(settings: OrgSettings | undefined): void {
    this.#settings = settings ?? nothing;
    this.#teamUsers = new Set(Object.values(this.#settings.teams).flat());
    this.version++;
  }

  apply({ change, at }: Pick<Written<AccessChange>, 'change' | 'at'>): void {
    this.version++;
    switch (change.is) {
      case 'user':
        this.#users.set(change.name, { service: change.service ?? false, createdAt: at });
        return;
      case 'user-gone':
        this.#forgetUser(change.name, at);
        return;
      case 'password':
        if (change.hash === undefined) this.#passwords.delete(change.user);
        else this.#passwords.set(change.user, { hash: change.hash, at });
        return;
      case 'member':
        this.#teams.set(change.team, (this.#teams.get(change.team) ?? new Set()).add(change.user));
        return;
      case 'member-gone':
        this.#teams.get(change.team)?.delete(change.user);
        return;
      case 'sign-in':
        this.#signedIn.set(change.user, { subject: change.subject, teams: change.teams });
        return;
      case 'rule':
        this.#rules.set(change.id, change.rule);
        return;
      case 'rule-gone':
        this.#rules.delete(change.id);
        return;
      case 'project':
        this.#projects.set(change.name, change.project);
        return;
      case 'project-gone':
        this.#projects.delete(change.name);
        return;
      case 'token':
        this.#tokens.set(change.token.id, change.token);
        this.#byHash.set(change.token.hash, change.token.id);
        return;
      case 'token-gone':
        this.#revoke(change.id, at);
        return;
    }
  }

  *snapshot(): Generator<Kept> {
    for (const [name, { service, createdAt }] of this.#users) {
      yield { change: { is: 'user', name, ...(service ? { service } : {}) }, at: createdAt };
    }
    for (const [user, { hash, at }] of this.#passwords) yield { change: { is: 'password', user, hash }, at };
    const at = new Date(this.#now()).toISOString();
    for (const [team, users] of this.#teams) {
      for (const user of users) yield { change: { is: 'member', team, user }, at };
    }
    for (const [user, { subject, teams }] of this.#signedIn) {
      yield { change: { is: 'sign-in', user, subject, teams }, at };
    }
    for (const [id, rule] of this.#rules) yield { change: { is: 'rule', id, rule }, at };
    for (const [name, project] of this.#projects) yield { change: { is: 'project', name, project }, at };
    const spent = [...this.#spent];
    const since = new Date(this.#now() - rememberMs).toISOString();
    for (const { revokedAt, ...token } of this.#tokens.values()) {
      const ended = revokedAt ?? token.expiresAt;
      if (ended !== undefined && ended < since) {
        spent.push(token.id);
        continue;
      }
      yield { change: { is: 'token', token }, at: token.createdAt };
      if (revokedAt !== undefined) yield { revoked: token.id, at: revokedAt };
    }
    if (spent.length > 0) yield { spent };
  }

  restore(values: Iterable<unknown>): void {
    this.#users = new Map();
    this.#passwords = new Map();
    this.#teams = new Map();
    this.#signedIn = new Map();
    this.#rules = new Map();
    this.#projects = new Map();
    this.#tokens = new Map();
    this.#byHash = new Map();
    this.#spent = new Set();
    this.version++;
    for (const kept of values as Iterable<Kept>) {
      if ('change' in kept) this.apply(kept);
      else if ('revoked' in kept) this.#revoke(kept.revoked, kept.at);
      else for (const id of kept.spent) this.#spent.add(id);
    }
  }

  #forgetUser(name: string, at: string): void {
    this.#users.delete(name);
    this.#passwords.delete(name);
    this.#signedIn.delete(name);
    for (const members of this.#teams.values()) members.delete(name);
    for (const token of [...this.#tokens.values()]) if (token.user === name) this.#revoke(token.id, at);
  }

  #revoke(id: string, at: string): void {
    const token = this.#tokens.get(id);
    if (token && token.revokedAt === undefined) this.#tokens.set(id, { ...token, revokedAt: at });
  }

  /** `undefined`: there is no such user. */
  kindOf(name: string): 'user' | 'service' | undefined {
    const configured = this.#configured(name);
    const known = this.#users.get(name);
    if (configured?.service || known?.service) return 'service';
    return configured || known || this.#teamUsers.has(name) ? 'user' : undefined;
  }

  #configured(name: string) {
    return Object.hasOwn(this.#settings.users, name) ? this.#settings.users[name] : undefined;
  }

  isConfigured(name: string): boolean {
    return this.#configured(name) !== undefined || this.#teamUsers.has(name);
  }

  users(): string[] {
    return [...new Set([...Object.keys(this.#settings.users), ...this.#teamUsers, ...this.#users.keys()])].sort();
  }

  /** When whoever has the name now came to have it, ISO 8601; '' for those of the configuration. */
  userSince(name: string): string {
    return this.#users.get(name)?.createdAt ?? '';
  }

  /** A hash, or the configuration's text; the journal's counts before the configuration's. */
  password(name: string): { readonly kept: string; readonly since: string } | undefined {
    const set = this.#passwords.get(name);
    if (set) return { kept: set.hash, since: set.at };
    const text = this.#configured(name)?.password;
    return text === undefined ? undefined : { kept: text, since: '' };
  }

  hasOwnPassword(name: string): boolean {
    return this.#passwords.has(name);
  }

  signedIn(name: string): SignedIn | undefined {
    return this.#signedIn.get(name);
  }

  /** By the issuer's own name for somebody. */
  userOfSubject(subject: string): string | undefined {
    for (const [user, { subject: known }] of this.#signedIn) if (known === subject) return user;
    return undefined;
  }

  /** Asked for every request. */
  teamsOf(name: string): readonly string[] {
    if (this.#teamsByUser?.version !== this.version) {
      const byUser = new Map<string, string[]>();
      for (const [team, users] of Object.entries(this.teams())) {
        for (const user of users) byUser.set(user, [...(byUser.get(user) ?? []), team].sort());
      }
      this.#teamsByUser = { version: this.version, byUser };
    }
    return this.#teamsByUser.byUser.get(name) ?? [];
  }

  teams(): Record<string, string[]> {
    const all = new Map<string, Set<string>>();
    const add = (team: string, user: string): void => {
      all.set(team, (all.get(team) ?? new Set()).add(user));
    };
    for (const [team, users] of Object.entries(this.#settings.teams)) {
      all.set(team, all.get(team) ?? new Set());
      for (const user of users) add(team, user);
    }
    for (const [team, users] of this.#teams) for (const user of users) add(team, user);
    for (const [user, { teams }] of this.#signedIn) for (const team of teams) add(team, user);
    return Object.fromEntries([...all].map(([team, users]) => [team, [...users].sort()]));
  }

  isMemberByJournal(team: string, user: string): boolean {
    return this.#teams.get(team)?.has(user) ?? false;
  }

  isMemberByConfiguration(team: string, user: string): boolean {
    return Object.hasOwn(this.#settings.teams, team) && (this.#settings.teams[team]?.includes(user) ?? false);
  }

  rules(): { readonly id?: string; readonly rule: AccessRule }[] {
    return [
      ...this.#settings.access.map((rule) => ({ rule })),
      ...[...this.#rules].map(([id, rule]) => ({ id, rule })),
    ];
  }

  hasRule(id: string): boolean {
    return this.#rules.has(id);
  }

  /** Those of the configuration first; they can't be changed otherwise. */
  projects(): {
    readonly name: string;
    readonly project: ProjectSettings;
    readonly from: 'configuration' | 'journal';
  }[] {
    const configured = Object.entries(this.#settings.projects);
    return [
      ...configured.map(([name, project]) => ({ name, project, from: 'configuration' as const })),
      ...[...this.#projects]
        .filter(([name]) => !Object.hasOwn(this.#settings.projects, name))
        .map(([name, project]) => ({ name, project, from: 'journal' as const })),
    ];
  }

  token(id: string): KnownToken | undefined {
    return this.#tokens.get(id);
  }

  tokenOfHash(hash: string): KnownToken | undefined {
    const id = this.#byHash.get(hash);
    return id === undefined ? undefined : this.#tokens.get(id);
  }

  isUsedId(id: string): boolean {
    return this.#tokens.has(id) || this.#spent.has(id);
  }

  tokens(user?: string): KnownToken[] {
    return [...this.#tokens.values()].filter((token) => user === undefined || token.user === user);
  }
}
