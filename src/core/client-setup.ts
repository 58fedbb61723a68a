/**
 * How a client is pointed at a repository: which settings go into which of its files. A format says it as data, in
 * `formats/<id>/setup.ts`; `larder setup` prints it or writes it.
 */

export interface ClientSetup {
  /** What people type. */
  readonly client: string;
  /** For the list of clients. */
  readonly title: string;
  files(target: SetupTarget): readonly SettingsFile[];
}

export interface SetupTarget {
  /** Public URL of the repository, without trailing slash. */
  readonly url: string;
  /** Name of the environment variable that holds a token. */
  readonly tokenVariable?: string;
}

export interface SettingsFile {
  /** Its name in a project's folder. Absent: these settings count only in the user's own file. */
  readonly project?: string;
  /** Its path for all projects of a user, below the home folder unless absolute. */
  user(environment: Readonly<Record<string, string | undefined>>): string;
  readonly syntax: 'ini' | 'yarnrc' | 'yaml' | 'toml';
  readonly settings: readonly Setting[];
}

export interface Setting {
  /** Table the key stands in, for TOML. */
  readonly table?: string;
  readonly key: string;
  /** A list is added to what is there, anything else replaces it. */
  readonly value: string | boolean | readonly string[] | Readonly<Record<string, string>>;
}
