/** What a pom says about where its source is. */
import { childOf, readXml, textAt } from '../../codecs/xml.ts';
import { Problem } from '../../core/problem.ts';

/** The longest known are lists of a few thousand dependencies, half a megabyte. */
export const pomLimit = 8 * 1024 * 1024;

/** As it is written: what a parent or a property says is not known here. */
const isLiteral = (text: string | undefined): text is string => text !== undefined && !text.includes('${');

/** `scm:git:https://…` (Maven SCM, "SCM URL Format"): the provider's name stands in front of what it understands. */
const connection = /^scm:[\w-]+[:|](.+)$/;

/** URL of the source project. Throws `invalid_package` on what is no pom. */
export function sourceOf(bytes: Uint8Array, path: string): string | undefined {
  const scm = childOf(readPom(bytes, path), 'scm');
  const url = textAt(scm, 'url');
  if (isLiteral(url)) return url;
  const [, told] = connection.exec(textAt(scm, 'connection') ?? '') ?? [];
  return isLiteral(told) ? told : undefined;
}

function readPom(bytes: Uint8Array, path: string) {
  const fail = (why: string, cause?: unknown): never => {
    throw new Problem('invalid_package', `${path} is no pom: ${why}.`, { cause });
  };
  try {
    const root = readXml(bytes, { sizeBytes: pomLimit });
    return root.name === 'project' ? root : fail(`it is a <${root.name}>`);
  } catch (error) {
    if (error instanceof Problem) throw error;
    return fail(error instanceof Error ? error.message : 'it is not XML', error);
  }
}
