/**
 * Who may do what. Rules add up, and nothing is allowed that no rule allows; a package that belongs to a project follows the
 * project instead; a token never allows more than its owner has.
 */
import type { Reader } from '../core/access.ts';
import type { Identity, TokenLimits } from '../core/identity.ts';
import { type AccessRule, type Action, matchesName, type Repository } from '../core/repository.ts';
import type { Directory } from './directory.ts';
import { overlap, sourceAddress, spell } from './patterns.ts';
import type { ProjectSettings } from './settings.ts';

export interface Rights {
  mayDo(repository: Repository, identity: Identity, action: Action, name: string | undefined): boolean;
  mayDoSome(repository: Repository, identity: Identity, action: Action): boolean;
  mayKnow(repository: Repository, identity: Identity): boolean;
  readerOf(identity: Identity): Reader;
  /** Whether everything in the organisation is theirs to administer. */
  mayAdminister(org: string, identity: Identity): boolean;
}

const actions: readonly Action[] = ['read', 'publish', 'delete', 'admin'];

/** What is said about one repository, with names as its format spells them. */
interface About {
  readonly version: number;
  readonly rules: readonly RepositoryRule[];
  readonly projects: readonly RepositoryProject[];
}

interface RepositoryRule {
  readonly rule: AccessRule;
  readonly names?: readonly string[] | undefined;
  /** Counts for packages of projects as well. */
  readonly reachesProjects: boolean;
}

interface RepositoryProject {
  readonly project: ProjectSettings;
  /** Names in this repository that belong to it by setting. */
  readonly names: readonly string[];
  readonly source?: string | undefined;
}

/** Whom rules mean when they mean this identity. */
interface Meant {
  readonly version: number;
  readonly who: ReadonlySet<string>;
}

/** Pairs of patterns that are compared for one question. */
const mostOverlaps = 200;

const allows = (may: readonly Action[], action: Action): boolean => may.includes(action) || may.includes('admin');

/** `undefined`: the organisation is none of the configuration's. */
export function createRights(directoryOf: (org: string) => Directory | undefined): Rights {
  const about = new WeakMap<Repository, About>();
  const meant = new WeakMap<Directory, WeakMap<Identity, Meant>>();

  function aboutOf(directory: Directory, repository: Repository): About {
    const known = about.get(repository);
    if (known?.version === directory.version) return known;
    const { format, name } = repository;
    const isHere = (patterns: readonly string[] | undefined): boolean =>
      patterns?.some((pattern) => matchesName(pattern, name)) ?? true;
    const found: About = {
      version: directory.version,
      rules: directory
        .rules()
        .filter(({ rule }) => isHere(rule.repositories))
        .map(({ rule }) => ({
          rule,
          names: rule.names?.map((pattern) => spell(format, pattern)),
          reachesProjects: rule.names !== undefined || (rule.may.includes('admin') && rule.repositories === undefined),
        })),
      projects: directory.projects().map(({ project }) => ({
        project,
        names: project.packages.flatMap((text) => {
          const colon = text.indexOf(':');
          return isHere([text.slice(0, colon)]) ? [spell(format, text.slice(colon + 1))] : [];
        }),
        source: project.source === undefined ? undefined : sourceAddress(project.source),
      })),
    };
    about.set(repository, found);
    return found;
  }

  function whoIs(directory: Directory, identity: Identity): ReadonlySet<string> {
    let byIdentity = meant.get(directory);
    if (!byIdentity) {
      byIdentity = new WeakMap();
      meant.set(directory, byIdentity);
    }
    const known = byIdentity.get(identity);
    if (known?.version === directory.version) return known.who;
    const who = new Set(['everyone']);
    const { kind, name, org } = identity;
    const isUser = kind === 'user' || kind === 'service';
    if (isUser && name !== undefined && org === directory.org && directory.kindOf(name) !== undefined) {
      who.add('members').add(`user:${name}`);
      for (const team of directory.teamsOf(name)) who.add(`team:${team}`);
    }
    byIdentity.set(identity, { version: directory.version, who });
    return who;
  }

  function isMeant(
    directory: Directory,
    identity: Identity,
    list: readonly string[],
    claims?: Readonly<Record<string, string>>,
  ): boolean {
    const who = whoIs(directory, identity);
    return list.some((one) => {
      if (one.startsWith('ci:')) return identity.kind === 'ci' && isJob(one, identity) && saysAll(identity, claims);
      return claims === undefined && who.has(one);
    });
  }

  function projectOf(repository: Repository, { projects }: About, name: string): ProjectSettings | undefined {
    const set = projects.find(({ names }) => names.some((pattern) => matchesName(pattern, name)));
    if (set) return set.project;
    if (!projects.some(({ source }) => source !== undefined)) return undefined;
    const link = repository.linkOf?.(name);
    const address = link === undefined ? undefined : sourceAddress(link);
    if (address === undefined) return undefined;
    return projects.find(({ source }) => source === address)?.project;
  }

  function projectAllows(directory: Directory, project: ProjectSettings, identity: Identity, action: Action): boolean {
    if (action === 'read') {
      if (project.visibility === 'public') return true;
      if (project.visibility === 'internal' && whoIs(directory, identity).has('members')) return true;
    }
    // Whoever may do anything with a package may read it.
    return actions.some(
      (right) =>
        (right === action || right === 'admin' || action === 'read') &&
        isMeant(directory, identity, project.members[right] ?? []),
    );
  }

  function mayDo(repository: Repository, identity: Identity, action: Action, name: string | undefined): boolean {
    const directory = directoryOf(repository.org);
    if (!directory || !tokenCovers(repository, identity.token, action, name)) return false;
    const here = aboutOf(directory, repository);
    const project = name === undefined ? undefined : projectOf(repository, here, name);
    if (project && projectAllows(directory, project, identity, action)) return true;
    return here.rules.some(
      ({ rule, names, reachesProjects }) =>
        (!project || reachesProjects) &&
        allows(rule.may, action) &&
        (!names || (name !== undefined && names.some((pattern) => matchesName(pattern, name)))) &&
        isMeant(directory, identity, rule.who, rule.claims),
    );
  }

  function mayDoSome(repository: Repository, identity: Identity, action: Action): boolean {
    const directory = directoryOf(repository.org);
    const { token } = identity;
    if (!directory || !tokenReaches(repository, token, action)) return false;
    const own = token?.names?.map((pattern) => spell(repository.format, pattern));
    // With many patterns it is not looked into: what the owner may do is asked of the rule, and each name is judged later.
    const isPossible = (names: readonly string[] | undefined): boolean =>
      !own ||
      !names ||
      own.length * names.length > mostOverlaps ||
      own.some((one) => names.some((other) => overlap(one, other)));
    const { rules, projects } = aboutOf(directory, repository);
    return (
      rules.some(
        ({ rule, names }) =>
          allows(rule.may, action) && isPossible(names) && isMeant(directory, identity, rule.who, rule.claims),
      ) ||
      projects.some(
        ({ project, names, source }) =>
          // Which packages name the project nobody can tell beforehand; where nothing is published, none does.
          ((names.length > 0 && isPossible(names)) || (source !== undefined && repository.linkOf !== undefined)) &&
          projectAllows(directory, project, identity, action),
      )
    );
  }

  return {
    mayDo,
    mayDoSome,
    mayKnow: (repository, identity) => actions.some((action) => mayDoSome(repository, identity, action)),
    // Lists without a name are filtered package by package where packages can belong to projects.
    readerOf: (identity) => ({ mayRead: (repository, name) => mayDo(repository, identity, 'read', name) }),
    mayAdminister(org, identity) {
      const directory = directoryOf(org);
      const { token } = identity;
      if (!directory || (token && (!token.may.includes('admin') || token.repositories || token.names))) return false;
      return directory
        .rules()
        .some(
          ({ rule }) =>
            rule.may.includes('admin') &&
            !rule.repositories &&
            !rule.names &&
            isMeant(directory, identity, rule.who, rule.claims),
        );
    },
  };
}

/** Whether the token itself is for the repository and the action. */
function tokenReaches({ name }: Repository, token: TokenLimits | undefined, action: Action): boolean {
  if (!token) return true;
  if (!allows(token.may, action)) return false;
  return token.repositories?.some((pattern) => matchesName(pattern, name)) ?? true;
}

/** A token limited to names covers requests with such a name and no others. */
function tokenCovers(
  repository: Repository,
  token: TokenLimits | undefined,
  action: Action,
  name: string | undefined,
): boolean {
  if (!tokenReaches(repository, token, action)) return false;
  if (!token?.names) return true;
  const spelled = (pattern: string): string => spell(repository.format, pattern);
  return name !== undefined && token.names.some((pattern) => matchesName(spelled(pattern), name));
}

/** `ci:ISSUER:PATTERN` and `ISSUER:SUBJECT`: the issuers are the same letter by letter, so that no subject can pass for another issuer's. */
function isJob(who: string, { name = '' }: Identity): boolean {
  const pattern = who.slice('ci:'.length);
  const colon = pattern.indexOf(':');
  return name.startsWith(pattern.slice(0, colon + 1)) && matchesName(pattern.slice(colon + 1), name.slice(colon + 1));
}

function saysAll({ claims }: Identity, wanted: Readonly<Record<string, string>> = {}): boolean {
  return Object.entries(wanted).every(([claim, pattern]) => {
    const said = claims && Object.hasOwn(claims, claim) ? claims[claim] : undefined;
    return said !== undefined && matchesName(pattern, said);
  });
}

/** Whether a rule or a project of the organisation is about this CI job. */
export function namesJob(directory: Directory, identity: Identity): boolean {
  const lists = [
    ...directory.rules().map(({ rule }) => ({ who: rule.who, claims: rule.claims })),
    ...directory
      .projects()
      .flatMap(({ project }) => Object.values(project.members).map((who) => ({ who, claims: undefined }))),
  ];
  return lists.some(({ who, claims }) =>
    who.some((one) => one.startsWith('ci:') && isJob(one, identity) && saysAll(identity, claims)),
  );
}
