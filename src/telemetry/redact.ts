/** Takes credentials out of what is about to be written down. */

const secretName =
  /token|passw|pwd|secret|auth|api-?_?key|access-?_?key|^key$|signature|^sig$|credential|^code$|session/i;

/** Tokens of ours (npm's logout has one in its path), in clear or short-lived. */
const ourTokens = /lrd(?:_|%5f)[\w.%-]{6,}/gi;

const withoutTokens = (text: string): string => (text.includes('lrd') ? text.replace(ourTokens, 'lrd_***') : text);

/** Tokens of ours, user information and the values of query parameters whose names sound like credentials. */
export function redactUrl(whole: string): string {
  const url = withoutTokens(whole);
  // Nearly every request has neither, and this is asked for each.
  if (url.indexOf('?') === -1 && url.indexOf('//') === -1) return url;
  const start = url.indexOf('?');
  const path = start === -1 ? url : url.slice(0, start);
  const shown = path.replace(/\/\/[^/\s]*@/g, '//***@');
  if (start === -1) return shown;
  const query = url
    .slice(start + 1)
    .split('&')
    .map(redactParameter);
  return `${shown}?${query.join('&')}`;
}

function redactParameter(text: string): string {
  const equals = text.indexOf('=');
  if (equals === -1) return text;
  const name = text.slice(0, equals);
  return secretName.test(decoded(name)) ? `${name}=***` : text;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The same for URLs and headers somewhere in a text, such as the message of an error. */
export function redactText(text: string): string {
  return withoutTokens(text)
    .replace(/\b(Basic|Bearer) +[\w.~+/=-]{4,}/gi, '$1 ***')
    .replace(/[a-z][a-z0-9+.-]*:\/\/[^\s"'<>]+/gi, redactUrl);
}
