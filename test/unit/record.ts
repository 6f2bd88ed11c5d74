/** The `Key=Value` lines of a unit's own section, read the plain way. */
export function recordOf(unitText: string): [string, string][] {
  const lines = unitText.slice(unitText.indexOf('\n[X-Revtun]\n')).split('\n').slice(2);
  return lines.filter((line) => line.includes('=')).map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]);
}
