/** Path patterns: `*` and `?` stay within a segment, `**` does not, `{a,b}` is one of several. */

const escapes = /[.+^$()|[\]\\]/;

function source(glob: string): string {
  let text = '';
  let braces = 0;
  for (let i = 0; i < glob.length; i++) {
    const char = glob[i] as string;
    if (glob.startsWith('**/', i) && (i === 0 || glob[i - 1] === '/')) {
      text += '(?:.*/)?';
      i += 2;
    } else if (glob.startsWith('**', i)) {
      text += '.*';
      i += 1;
    } else if (char === '*') text += '[^/]*';
    else if (char === '?') text += '[^/]';
    else if (char === '{') {
      text += '(?:';
      braces++;
    } else if (char === '}' && braces > 0) {
      text += ')';
      braces--;
    } else if (char === ',' && braces > 0) text += '|';
    else text += escapes.test(char) || char === '}' ? `\\${char}` : char;
  }
  if (braces > 0) throw new Error(`${glob} has a { without a }`);
  return text;
}

/** Matches whole paths. A pattern without a slash is about the last segment, wherever the file lies, as in a .gitignore. */
export function compileGlobs(globs: readonly string[]): (path: string) => boolean {
  if (globs.length === 0) return () => false;
  const patterns = globs.map((glob) => {
    if (glob === '' || glob.startsWith('/'))
      throw new Error(`${JSON.stringify(glob)} is no path pattern: paths begin without a slash`);
    return glob.includes('/') ? source(glob) : `(?:.*/)?${source(glob)}`;
  });
  const pattern = new RegExp(`^(?:${patterns.join('|')})$`, 's');
  return (path) => pattern.test(path);
}
