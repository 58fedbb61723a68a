/** Wheels and source distributions as Python's build tools lay them out, made in memory: the same bytes for the same settings. */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { zipSync } from 'fflate';

export interface NewPackage {
  /** As it is displayed. */
  readonly name: string;
  readonly version: string;
  /** Requirements as they stand in metadata: `other>=1.0`. */
  readonly requires?: readonly string[];
  readonly requiresPython?: string;
  /** Bytes that do not compress, to make a wheel as large as real ones. */
  readonly paddingBytes?: number;
  /** Further files of the wheel, before all others. */
  readonly files?: Readonly<Record<string, Buffer>>;
}

export interface BuiltFile {
  readonly filename: string;
  readonly bytes: Buffer;
  /** The METADATA in a wheel, PKG-INFO in a source distribution. */
  readonly metadata: Buffer;
}

const escaped = (name: string): string => name.replace(/[-_.]+/g, '_').toLowerCase();

export function metadataOf({ name, version, requires = [], requiresPython }: NewPackage): Buffer {
  return Buffer.from(
    [
      'Metadata-Version: 2.1',
      `Name: ${name}`,
      `Version: ${version}`,
      `Summary: ${name}, made for tests`,
      ...(requiresPython === undefined ? [] : [`Requires-Python: ${requiresPython}`]),
      ...requires.map((requirement) => `Requires-Dist: ${requirement}`),
      '',
      'Nothing more is to be said.',
      '',
    ].join('\n'),
  );
}

function noise(size: number, seed: string): Buffer {
  const pieces: Buffer[] = [];
  for (let made = 0; made < size; made += 64) pieces.push(createHash('sha512').update(`${seed} ${made}`).digest());
  return Buffer.concat(pieces).subarray(0, size);
}

const moduleOf = ({ name, version }: NewPackage): Buffer => Buffer.from(`"""${name}"""\n__version__ = "${version}"\n`);

export function wheelOf(made: NewPackage): BuiltFile {
  const { name, version, paddingBytes = 0, files = {} } = made;
  const stem = `${escaped(name)}-${version}`;
  const info = `${stem}.dist-info`;
  const metadata = metadataOf(made);
  const entries: Record<string, Buffer> = {
    ...files,
    [`${escaped(name)}/__init__.py`]: moduleOf(made),
    ...(paddingBytes > 0 ? { [`${escaped(name)}/data.bin`]: noise(paddingBytes, stem) } : {}),
    [`${info}/METADATA`]: metadata,
    [`${info}/WHEEL`]: Buffer.from(
      'Wheel-Version: 1.0\nGenerator: tests (1.0)\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    ),
  };
  const record = Object.entries(entries).map(([path, bytes]) => {
    const hash = createHash('sha256').update(bytes).digest('base64url');
    return `${path},sha256=${hash},${bytes.length}\n`;
  });
  entries[`${info}/RECORD`] = Buffer.from(`${record.join('')}${info}/RECORD,,\n`);
  const bytes = Buffer.from(zipSync(entries, { mtime: new Date(2020, 0, 1) }));
  return { filename: `${stem}-py3-none-any.whl`, bytes, metadata };
}

/** One file in a tar archive (POSIX.1-1988, ustar). */
function tarEntry(path: string, bytes: Buffer): Buffer {
  const header = Buffer.alloc(512);
  header.write(path, 0, 100, 'latin1');
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${bytes.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write(`${(1_577_836_800).toString(8).padStart(11, '0')}\0`, 136);
  header.write('        0', 148);
  header.write('ustar\0' + '00', 257, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

/** Built with setuptools by whoever installs it. */
export function sourceOf(made: NewPackage): BuiltFile {
  const { name, version, requires = [] } = made;
  const stem = `${name}-${version}`;
  const metadata = metadataOf(made);
  const setup = `from setuptools import setup\nsetup(name=${JSON.stringify(name)}, version=${JSON.stringify(version)}, packages=[${JSON.stringify(escaped(name))}], install_requires=${JSON.stringify(requires)})\n`;
  const files: Readonly<Record<string, Buffer>> = {
    'PKG-INFO': metadata,
    'pyproject.toml': Buffer.from(
      '[build-system]\nrequires = ["setuptools", "wheel"]\nbuild-backend = "setuptools.build_meta"\n',
    ),
    'setup.py': Buffer.from(setup),
    [`${escaped(name)}/__init__.py`]: moduleOf(made),
  };
  const entries = Object.entries(files).map(([path, bytes]) => tarEntry(`${stem}/${path}`, bytes));
  return { filename: `${stem}.tar.gz`, bytes: gzipSync(Buffer.concat([...entries, Buffer.alloc(1024)])), metadata };
}
