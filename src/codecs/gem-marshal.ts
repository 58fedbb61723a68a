/**
 * The little of Ruby's Marshal 4.8 that an index of gems is made of: lists of `[name, Gem::Version, platform]`, and
 * `Gem::Specification`, of which only the beginning is read. Anything else is refused; no object is ever made of a class that the
 * bytes name.
 * Written after `marshal.c` of Ruby 3.1.
 */

/** One version of one gem; platform `ruby` stands for any. */
export interface SpecTuple {
  readonly name: string;
  readonly version: string;
  readonly platform: string;
}

/** Of one list: rubygems.org had two million versions in 2026. */
export const maxTuples = 8_000_000;

const header = 0x0408;
const arrayType = 0x5b;
const stringType = 0x22;
const ivarType = 0x49;
const symbolType = 0x3a;
const symbolLinkType = 0x3b;
const linkType = 0x40;
const userMarshalType = 0x55;
const userDefinedType = 0x75;
const integerType = 0x69;
const nilType = 0x30;
const trueType = 0x54;
const falseType = 0x46;
const hashType = 0x7b;
const objectType = 0x6f;

const versionClass = 'Gem::Version';
const specificationClass = 'Gem::Specification';

/** Longer than any name, version or platform. */
const maxTextBytes = 4096;

/** What an object was, for those that refer to it by its number: only texts and versions are referred to. */
type Thing = string | { readonly version: string } | undefined;

class Reader {
  readonly #bytes: Buffer;
  #at = 0;
  readonly #symbols: string[] = [];
  readonly #things: Thing[] = [];

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (this.#bytes.byteLength < 3 || this.#bytes.readUInt16BE(0) !== header) throw new Error('no Marshal 4.8');
    this.#at = 2;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.byteLength;
  }

  fail(wanted: string): never {
    throw new Error(`no ${wanted} at byte ${this.#at}`);
  }

  byte(): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) throw new Error('the end is missing');
    this.#at += 1;
    return value;
  }

  /** `r_long`: small numbers in one byte, others in up to four, least significant first. */
  long(): number {
    const first = (this.byte() << 24) >> 24;
    if (first === 0) return 0;
    if (first > 4) return first - 5;
    if (first < -4) return first + 5;
    const length = Math.abs(first);
    let value = 0;
    for (let i = 0; i < length; i++) value += this.byte() * 256 ** i;
    return first > 0 ? value : value - 256 ** length;
  }

  count(most: number, wanted: string): number {
    const value = this.long();
    if (value < 0 || value > most) this.fail(wanted);
    return value;
  }

  #raw(wanted: string): string {
    const length = this.count(maxTextBytes, wanted);
    const end = this.#at + length;
    if (end > this.#bytes.byteLength) throw new Error('the end is missing');
    const text = this.#bytes.toString('utf8', this.#at, end);
    this.#at = end;
    return text;
  }

  symbol(): string {
    const type = this.byte();
    if (type === symbolType) {
      const name = this.#raw('symbol');
      this.#symbols.push(name);
      return name;
    }
    if (type !== symbolLinkType) this.fail('symbol');
    return this.#symbols[this.long()] ?? this.fail('symbol');
  }

  /** Begins an array and says how long it is. */
  array(most: number): number {
    if (this.byte() !== arrayType) this.fail('array');
    this.#things.push(undefined);
    return this.count(most, 'array');
  }

  #linked(): Thing {
    return this.#things[this.long()] ?? this.fail('reference');
  }

  text(): string {
    const type = this.byte();
    if (type === linkType) {
      const thing = this.#linked();
      return typeof thing === 'string' ? thing : this.fail('text');
    }
    if (type === stringType) return this.#string();
    if (type !== ivarType || this.byte() !== stringType) this.fail('text');
    const text = this.#string();
    // Its encoding: `E` true or false, or an `encoding` by name.
    for (let left = this.count(4, 'text'); left > 0; left--) {
      this.symbol();
      const value = this.byte();
      if (value === stringType) this.#string();
      else if (value !== trueType && value !== falseType) this.fail('text');
    }
    return text;
  }

  #string(): string {
    const text = this.#raw('text');
    this.#things.push(text);
    return text;
  }

  version(): string {
    const type = this.byte();
    if (type === linkType) {
      const thing = this.#linked();
      return typeof thing === 'object' ? thing.version : this.fail('version');
    }
    if (type !== userMarshalType || this.symbol() !== versionClass) this.fail('version');
    const place = this.#things.push(undefined) - 1;
    if (this.array(1) !== 1) this.fail('version');
    const version = this.text();
    this.#things[place] = { version };
    return version;
  }

  integer(): number {
    if (this.byte() !== integerType) this.fail('number');
    return this.long();
  }

  isNil(): boolean {
    if (this.#bytes[this.#at] !== nilType) return false;
    this.#at += 1;
    return true;
  }

  /** The bytes of an object that writes itself. */
  userDefined(className: string): Uint8Array {
    const type = this.byte();
    // Where the text that it wrote itself as has an encoding, that follows.
    const own = type === ivarType ? this.byte() : type;
    if (own !== userDefinedType || this.symbol() !== className) this.fail(className);
    const length = this.count(this.#bytes.byteLength - this.#at, className);
    const inner = this.#bytes.subarray(this.#at, this.#at + length);
    if (inner.byteLength !== length) throw new Error('the end is missing');
    this.#at += length;
    return inner;
  }
}

/** Every entry of a list, in its order. Throws on anything that is not such a list, whole. */
export function* readSpecTuples(bytes: Uint8Array): Generator<SpecTuple> {
  const reader = new Reader(bytes);
  const length = reader.array(maxTuples);
  for (let i = 0; i < length; i++) {
    if (reader.array(3) !== 3) reader.fail('triple');
    const name = reader.text();
    const version = reader.version();
    // Very old gems have none.
    const platform = reader.isNil() ? 'ruby' : reader.text();
    yield { name, version, platform };
  }
  if (!reader.isAtEnd) throw new Error('something follows the list');
}

/** Name and version of a marshalled `Gem::Specification`; throws if it is none, or if they are not where every RubyGems writes them. */
export function readSpecification(bytes: Uint8Array): { readonly name: string; readonly version: string } {
  const outer = new Reader(bytes);
  const reader = new Reader(outer.userDefined(specificationClass));
  reader.array(64);
  if (!reader.isNil()) reader.text();
  reader.integer();
  const name = reader.text();
  return { name, version: reader.version() };
}

/** Bytes that grow. */
class Writer {
  #bytes: Buffer;
  #at = 0;

  constructor(sizeBytes: number) {
    this.#bytes = Buffer.allocUnsafe(Math.max(64, sizeBytes));
  }

  #room(length: number): void {
    if (this.#at + length <= this.#bytes.byteLength) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#bytes.byteLength * 2, this.#at + length));
    this.#bytes.copy(grown, 0, 0, this.#at);
    this.#bytes = grown;
  }

  byte(value: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = value;
  }

  /** `w_long`, of a number that is not negative. */
  long(value: number): void {
    if (value < 123) {
      this.byte(value === 0 ? 0 : value + 5);
      return;
    }
    const length = value < 0x100 ? 1 : value < 0x10000 ? 2 : value < 0x1000000 ? 3 : 4;
    this.byte(length);
    for (let i = 0; i < length; i++) this.byte(Math.floor(value / 256 ** i) & 0xff);
  }

  text(value: string): void {
    const length = Buffer.byteLength(value);
    this.long(length);
    this.#room(length);
    this.#at += this.#bytes.write(value, this.#at);
  }

  bytes(value: Uint8Array): void {
    this.long(value.byteLength);
    this.#room(value.byteLength);
    this.#bytes.set(value, this.#at);
    this.#at += value.byteLength;
  }

  done(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }
}

/** The list as RubyGems writes it: what is the same is written once and referred to by its number afterwards. */
export function writeSpecTuples(tuples: readonly SpecTuple[]): Uint8Array {
  if (tuples.length > maxTuples) throw new Error(`a list of more than ${maxTuples} versions`);
  const writer = new Writer(tuples.length * 32);
  const symbols = new Map<string, number>();
  const texts = new Map<string, number>();
  const versions = new Map<string, number>();
  let things = 0;

  const symbol = (name: string): void => {
    const known = symbols.get(name);
    writer.byte(known === undefined ? symbolType : symbolLinkType);
    if (known !== undefined) {
      writer.long(known);
      return;
    }
    symbols.set(name, symbols.size);
    writer.text(name);
  };
  const array = (length: number): void => {
    things += 1;
    writer.byte(arrayType);
    writer.long(length);
  };
  const refersTo = (known: number | undefined): boolean => {
    if (known === undefined) return false;
    writer.byte(linkType);
    writer.long(known);
    return true;
  };
  const text = (value: string): void => {
    if (refersTo(texts.get(value))) return;
    texts.set(value, things++);
    writer.byte(ivarType);
    writer.byte(stringType);
    writer.text(value);
    writer.long(1);
    symbol('E');
    writer.byte(trueType);
  };
  const version = (value: string): void => {
    if (refersTo(versions.get(value))) return;
    versions.set(value, things++);
    writer.byte(userMarshalType);
    symbol(versionClass);
    array(1);
    text(value);
  };

  writer.byte(header >> 8);
  writer.byte(header & 0xff);
  array(tuples.length);
  for (const tuple of tuples) {
    array(3);
    text(tuple.name);
    version(tuple.version);
    text(tuple.platform);
  }
  return writer.done();
}

/** `[operator, version]`, all of which a version has to meet. */
export type Requirement = readonly (readonly [operator: string, version: string])[];

/** What a specification says that is in the index; the rest of it is in the gem alone. */
export interface Specification {
  readonly name: string;
  readonly version: string;
  /** As its author wrote it; `ruby` stands for any. */
  readonly platform: string;
  /** Of the platform, as RubyGems takes it apart; absent for `ruby`. */
  readonly platformParts?: readonly [cpu: string | null, os: string, version: string | null];
  readonly rubygemsVersion: string;
  /** `YYYY-MM-DD`. */
  readonly date: string;
  readonly summary: string;
  readonly description?: string;
  readonly homepage?: string;
  readonly email?: string | readonly string[];
  readonly authors: readonly string[];
  readonly licenses: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly requiredRuby: Requirement;
  readonly requiredRubygems: Requirement;
  readonly dependencies: readonly {
    readonly name: string;
    readonly type: 'runtime' | 'development';
    readonly requirement: Requirement;
  }[];
}

const timeClass = 'Time';

/** A day, as `Time#_dump` packs it: little endian, with the flag for UTC (`time.c`, `time_mdump`). */
function packedDay(date: string): Uint8Array {
  const [year = 1900, month = 1, day = 1] = date.split('-').map(Number);
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE((0xc0000000 + (((year - 1900) << 14) | ((month - 1) << 10) | (day << 5))) >>> 0, 0);
  return bytes;
}

/** Writes values in full, each where it stands; of symbols only the first one is. */
class ValueWriter extends Writer {
  readonly #symbols = new Map<string, number>();
  #things = 0;

  constructor() {
    super(1024);
    this.byte(header >> 8);
    this.byte(header & 0xff);
  }

  symbol(name: string): void {
    const known = this.#symbols.get(name);
    this.byte(known === undefined ? symbolType : symbolLinkType);
    if (known !== undefined) {
      this.long(known);
      return;
    }
    this.#symbols.set(name, this.#symbols.size);
    super.text(name);
  }

  /** Counts what others may refer to: everything but symbols, numbers, true, false and nothing. */
  thing(type: number): void {
    this.byte(type);
    this.#things += 1;
  }

  /** How many there are: the number of the next one. */
  get things(): number {
    return this.#things;
  }

  reference(thing: number): void {
    this.byte(linkType);
    this.long(thing);
  }

  /** A text in UTF-8 (or, of ASCII alone, in that). */
  string(value: string | null | undefined, isAscii = false): void {
    if (value === null || value === undefined) {
      this.byte(nilType);
      return;
    }
    this.byte(ivarType);
    this.thing(stringType);
    super.text(value);
    this.long(1);
    this.symbol('E');
    this.byte(isAscii ? falseType : trueType);
  }

  array<T>(values: readonly T[], write: (value: T) => void): void {
    this.thing(arrayType);
    this.long(values.length);
    for (const value of values) write(value);
  }

  strings(values: readonly string[]): void {
    this.array(values, (value) => this.string(value));
  }

  version(value: string): void {
    this.thing(userMarshalType);
    this.symbol(versionClass);
    this.strings([value]);
  }

  requirement(value: Requirement): void {
    this.thing(userMarshalType);
    this.symbol('Gem::Requirement');
    this.array([value], (clauses) =>
      this.array(clauses, ([operator, version]) => {
        this.thing(arrayType);
        this.long(2);
        this.string(operator);
        this.version(version);
      }),
    );
  }

  object(className: string, fields: Readonly<Record<string, () => void>>): void {
    this.thing(objectType);
    this.symbol(className);
    this.long(Object.keys(fields).length);
    for (const [name, write] of Object.entries(fields)) {
      this.symbol(`@${name}`);
      write();
    }
  }
}

function writeFields(spec: Specification): Uint8Array {
  const { email, platformParts } = spec;
  const out = new ValueWriter();
  out.thing(arrayType);
  out.long(19);
  out.string(spec.rubygemsVersion);
  out.byte(integerType);
  out.long(4);
  out.string(spec.name);
  out.version(spec.version);
  out.byte(ivarType);
  out.thing(userDefinedType);
  out.symbol(timeClass);
  out.bytes(packedDay(spec.date));
  out.long(1);
  out.symbol('zone');
  out.string('UTC', true);
  out.string(spec.summary);
  out.requirement(spec.requiredRuby);
  out.requirement(spec.requiredRubygems);
  const platform = out.things;
  out.string(spec.platform);
  out.array(spec.dependencies, ({ name, type, requirement }) =>
    out.object('Gem::Dependency', {
      name: () => out.string(name),
      requirement: () => out.requirement(requirement),
      type: () => out.symbol(type),
      prerelease: () => out.byte(falseType),
      version_requirements: () => out.requirement(requirement),
    }),
  );
  // The project at RubyForge, which is no more.
  out.string('');
  if (typeof email === 'object') out.strings(email);
  else out.string(email);
  out.strings(spec.authors);
  out.string(spec.description);
  out.string(spec.homepage);
  // Whether it has documentation: it always has.
  out.byte(trueType);
  if (platformParts) {
    const [cpu, os, version] = platformParts;
    out.object('Gem::Platform', {
      cpu: () => out.string(cpu),
      os: () => out.string(os),
      version: () => out.string(version),
    });
  } else out.reference(platform);
  out.strings(spec.licenses);
  const metadata = Object.entries(spec.metadata);
  out.thing(hashType);
  out.long(metadata.length);
  for (const [key, value] of metadata) {
    out.string(key);
    out.string(value);
  }
  return out.done();
}

/** A `Gem::Specification` as `quick/Marshal.4.8/` has it, not yet packed: byte for byte what RubyGems 3.3 itself makes of the gem. */
export function writeSpecification(spec: Specification): Uint8Array {
  const out = new ValueWriter();
  out.byte(userDefinedType);
  out.symbol(specificationClass);
  out.bytes(writeFields(spec));
  return out.done();
}
