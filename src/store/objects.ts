/**
 * The interface under everything durable: named, whole, never half-written. Names are paths with slashes
 * (`blobs/v1/sha256/ab/cd/…`), the same on a disk and in a bucket.
 */
export interface Objects {
  /**
   * Makes a finished and synced local file the object, unless there is one. True: the file has become the object and
   * its old name is gone. False: there is one already, and the file is untouched.
   */
  adopt(name: string, file: string): Promise<boolean>;
  /** Creates or replaces in one step; not synced, so only for what can be lost. */
  replace(name: string, bytes: Uint8Array | string | AsyncIterable<Uint8Array>): Promise<void>;
  /**
   * Creates it unless there is one, which is what false says. Survives a power failure once it resolves. When it rejects, the object
   * may be there all the same: whoever must know reads it back.
   */
  create(name: string, bytes: Uint8Array): Promise<boolean>;
  /** What has this name survives a power failure, name and all, once it resolves. */
  settle(name: string): Promise<void>;
  /** Keeps the bytes, whatever becomes of the name. `undefined`: there is no such object. */
  hold(name: string): Promise<Hold | undefined>;
  /** One look, without waiting. Throws what the disk answers. */
  existsNow(name: string): boolean;
  /** What stands between a prefix and the next slash, of names that have one there; in no particular order. */
  groups(prefix: string): Promise<readonly string[]>;
  open(name: string): Promise<OpenObject | undefined>;
  /** All bytes of a small one. */
  read(name: string): Promise<Buffer | undefined>;
  facts(name: string): Promise<ObjectFacts | undefined>;
  /** Makes it look as if it had just been written. */
  freshen(name: string, atMs: number): Promise<boolean>;
  /** Lets the group that the files belong to read this one by its name. False: it is not there. Rejects where that can't be allowed. */
  share(name: string): Promise<boolean>;
  /** Replaces whatever has the new name. False: nothing there to move. */
  move(from: string, to: string): Promise<boolean>;
  /** False: it was not there. */
  delete(name: string): Promise<boolean>;
  /** Names of everything below a prefix, in no particular order. What comes or goes meanwhile may or may not be told. */
  names(prefix: string): AsyncIterable<string>;
  /** The same with what `facts` tells, several at a time. */
  list(prefix: string): AsyncIterable<ListedObject>;
}

export interface Hold {
  /** If the name is gone, the bytes get it again, for good. */
  restore(): Promise<void>;
  /** Idempotent. */
  release(): Promise<void>;
}

export interface ObjectFacts {
  readonly sizeBytes: number;
  readonly modifiedAt: number;
}

export interface ListedObject extends ObjectFacts {
  readonly name: string;
}

export interface OpenObject {
  readonly sizeBytes: number;
  /** A descriptor for reading at positions; valid until `close`. */
  readonly fd: number;
  /** Fills the buffer from `position`; fewer bytes only at the end. */
  readInto(buffer: Uint8Array, position: number): Promise<number>;
  /** Whether the bytes behind the descriptor still have a name and their length; costs no trip to the disk. */
  intact(): boolean;
  close(): Promise<void>;
}
