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
  /** What no file can say: what to restart, what is not held back. One sentence or command each. */
  notes?(target: SetupTarget): readonly string[];
}

export interface SetupTarget {
  /** Public URL of the repository, without trailing slash. */
  readonly url: string;
  /** Public URL of the server, without trailing slash; may have a path. */
  readonly root: string;
  /** `org/name`. */
  readonly repository: string;
  /** What clients call the registry behind it; of one's own choice first, its own host among them. Empty: not known. */
  readonly namespaces: readonly string[];
  /** For clients that may have several at once: the format's further repositories, unless one was chosen. */
  readonly others: readonly Pick<SetupTarget, 'repository' | 'namespaces'>[];
  /** The repository that the host name alone leads to, `''` if none; absent: not known. */
  readonly atRoot?: string;
  /** Name of the environment variable that holds a token. */
  readonly tokenVariable?: string;
}

export type SettingsFile = EditedFile | OwnFile;

interface FilePlace {
  /** Its name in a project's folder. Absent: these settings count only in the user's own file. */
  readonly project?: string;
  /** Its path for all projects of a user, below the home folder unless absolute. */
  user(environment: Readonly<Record<string, string | undefined>>): string;
}

/** A file that holds other settings too, which stay as they are. */
export interface EditedFile extends FilePlace {
  readonly syntax: 'ini' | 'yarnrc' | 'yaml' | 'toml' | 'json' | 'xml';
  readonly settings: readonly Setting[];
}

/** A file that is there for this alone. One that somebody else has written is left alone. */
export interface OwnFile extends FilePlace {
  readonly syntax: 'whole';
  /** What a comment begins with. */
  readonly comment: '#' | '//';
  /** Ends with a line break. */
  readonly text: string;
}

export interface Setting {
  /** Where the key stands: a table of TOML as its heading has it, the path of an element of XML (`settings/mirrors`). */
  readonly table?: string;
  /** In XML an element and the `id` in it, `mirror#larder`. */
  readonly key: string;
  /** A list is added to what is there, anything else replaces it. */
  readonly value: string | boolean | readonly string[] | Readonly<Record<string, string>>;
}

/** Whether a URL leads out of this machine without TLS, which some clients refuse until they are told. */
export function isPlainRemote(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && !/^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}
