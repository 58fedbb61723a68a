/** Who asks, and what they may do: what the pipeline wants to know of the part that knows organisations, tokens and rules. */
import type { CredentialsAsk, CredentialsOutcome } from './hosting.ts';
import type { Identity } from './identity.ts';
import type { Action, Repository } from './repository.ts';

/** What a request shows, taken from where the format's clients put it. */
export interface Shown {
  readonly kind: 'basic' | 'bearer' | 'raw' | 'header';
  /** Of basic credentials; '' otherwise. */
  readonly user: string;
  /** Password, token or key. */
  readonly secret: string;
  /** Address of who shows it: whoever guesses passwords from there is slowed down, and nobody else. */
  readonly from?: string;
}

/** What may be read; given along with every question to a source. */
export interface Reader {
  /** Without a name: whether everything in it may be read. */
  mayRead(repository: Repository, name?: string): boolean;
}

export interface Access {
  /** What was changed elsewhere about the organisation's tokens, members and rights is known afterwards. Free when nothing was. */
  ready(org: string): Promise<void>;
  /** Whether nothing was changed since, by anybody; cheap. */
  isCurrent(org: string): boolean;
  /** Another one after every change that is known here, the configuration's included; costs nothing. */
  version(org: string): number;
  /** Never rejects for bad credentials: `rejected` says so. What is not of our making at all counts as nobody's. */
  identify(org: string, shown: Shown | undefined): Promise<Identity>;
  mayDo(repository: Repository, identity: Identity, action: Action, name: string | undefined): boolean;
  /** Whether there can be a name that it may be done to. */
  mayDoSome(repository: Repository, identity: Identity, action: Action): boolean;
  /** Whether the repository's existence may be known. */
  mayKnow(repository: Repository, identity: Identity): boolean;
  readerOf(identity: Identity): Reader;
  /**
   * Of an identity that `identify` gave: tells, and cheaply, whether the same credentials would still be found to be the same one's, and
   * counts that as a use of them. `undefined`: only looking at the credentials tells.
   */
  lasting(identity: Identity): (() => boolean) | undefined;
  /** Signs in, lists, revokes. `origin`: public URL of the server, without trailing slash. `from`: address of the client. Throws a Problem (`unauthorized`, `forbidden`, `not_found`). */
  credentials(
    org: string,
    identity: Identity,
    ask: CredentialsAsk,
    origin: string,
    from?: string,
  ): Promise<CredentialsOutcome>;
}
