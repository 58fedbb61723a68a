/** Variables as shells, Compose and Dockerfiles write them: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:+other}`. */

const variable = /\$(?:\$|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-+?])([^{}]*))?\})/g;

/** Of what comes out; variables made of variables grow fast. */
const longest = 4096;

/** `undefined` when a variable has neither a value nor a default, or the text gets too long. Defaults that have variables themselves are not read. */
export function expand(text: string, values: ReadonlyMap<string, string>): string | undefined {
  let isComplete = true;
  let length = text.length;
  const grown = (value: string): string => {
    length += value.length;
    return length > longest ? '' : value;
  };
  const expanded = text.replace(variable, (whole, bare?: string, braced?: string, operator?: string, word?: string) => {
    if (whole === '$$') return '$';
    const value = values.get(bare ?? braced ?? '');
    if (operator?.endsWith('+')) return value ? grown(word ?? '') : '';
    if (value) return grown(value);
    if (operator?.endsWith('-') && word !== undefined) return grown(word);
    isComplete = false;
    return '';
  });
  return isComplete && length <= longest && !expanded.includes('${') ? expanded : undefined;
}
