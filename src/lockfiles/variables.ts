/** Variables as shells, Compose and Dockerfiles write them: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:+other}`. */

const variable = /\$(?:\$|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-+?])([^{}]*))?\})/g;

/** `undefined` when a variable has neither a value nor a default. Defaults that have variables themselves are not read. */
export function expand(text: string, values: ReadonlyMap<string, string>): string | undefined {
  let isComplete = true;
  const expanded = text.replace(variable, (whole, bare?: string, braced?: string, operator?: string, word?: string) => {
    if (whole === '$$') return '$';
    const value = values.get(bare ?? braced ?? '');
    if (operator?.endsWith('+')) return value ? (word ?? '') : '';
    if (value) return value;
    if (operator?.endsWith('-') && word !== undefined) return word;
    isComplete = false;
    return '';
  });
  return isComplete && !expanded.includes('${') ? expanded : undefined;
}
