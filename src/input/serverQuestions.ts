import { type ExpectedError, InvalidValue } from '../errors.ts';
import type { Listening } from '../checks/listening.ts';
import { parseDeviceName } from '../server/device.ts';
import { parseDestination, parsePort, parseUser, quoted } from '../tunnel/destination.ts';
import { formatEndpoint } from '../tunnel/forward.ts';
import { wrap } from '../wrap.ts';
import type { Ask } from './ask.ts';

// The wizard's words about the server's end. Nothing here decides anything.

interface HostPort {
  readonly host: string;
  readonly port: number;
}

const note = (ask: Ask, text: string) => ask.say(wrap(text, '  '));

export const wanted = (ask: Ask) => ask.yes('Set up the server too? (needs a root or sudo login there, this once)', true);

export function tellWhatFor(ask: Ask): void {
  note(ask, 'Any login of yours on the server will do. Better is an account for this machine alone, made now: its key opens one port there and nothing else, and after a power cut it gets that port back at once.');
}

export const account = (ask: Ask, preset?: string) => ask.text('Account there that is root or may use sudo', parseUser, preset);

export function tellLogin(ask: Ask, where: string): void {
  note(ask, `Now ssh logs in to ${where}. It may ask for a password, and whether a host key is the server's: there, this prints it:\nssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`);
}

export function tellState(ask: Ask, isReady: boolean, devices: number): void {
  note(ask, isReady
    ? `That worked. This server is set up already, and has ${devices === 1 ? 'one device' : `${devices === 0 ? 'no' : devices} devices`}.`
    : 'That worked. This server is not set up yet; the plan will show what that takes.');
}

/** When the login did not work. */
export const howToGetIn = (ask: Ask) => ask.oneOf<'again' | 'account' | 'server' | 'alone'>('What now?', [
  { value: 'again', name: 'Try again' },
  { value: 'account', name: 'Use another account there', short: 'another account' },
  { value: 'server', name: 'Use another server', short: 'another server' },
  { value: 'alone', name: "Go on without setting up the server's end", short: "without the server's end" },
]);

/** One target: the device's account holds one port. */
export async function target(ask: Ask, listening: readonly Listening[]): Promise<HostPort> {
  const ssh = listening.find(({ port }) => port === SSH_PORT);
  const offered = [ssh ?? { port: SSH_PORT, host: 'localhost', name: 'ssh' }, ...listening.filter(({ port }) => port !== SSH_PORT)];
  const chosen = await ask.oneOf<HostPort | 'other'>('What shall be reachable?', [
    ...offered.map(({ port, host, name }) => ({
      value: { host, port },
      name: [String(port).padStart(5), name ?? '', host === 'localhost' ? '' : `on ${host}`].filter((part) => part !== '').join('  ')
        + (port !== SSH_PORT ? '' : ssh ? ": this machine's login" : ' (nothing listens there yet)'),
      short: `${port}${name === undefined ? '' : ` (${name})`}`,
    })),
    { value: 'other' as const, name: 'Something else', short: 'something else' },
  ]);
  return chosen === 'other' ? otherTarget(ask) : chosen;
}

const SSH_PORT = 22;

const otherTarget = (ask: Ask) => ask.text('What else (PORT, or HOST:PORT near here)', (text): HostPort => {
  if (/^\d+$/.test(text)) return { host: 'localhost', port: parsePort(text) };
  const { host, user, port } = parseDestination(text);
  if (user !== undefined || port === undefined) throw new InvalidValue(`${quoted(text)} is none of 8080, printer.lan:80, [2001:db8::1]:80`);
  return { host, port };
});

export const audience = (ask: Ask, port: number) => ask.oneOf<'server' | 'everyone'>(`Who may reach port ${port} of the server?`, [
  { value: 'server', name: 'Only who can log in to the server', short: 'only who can log in to the server', description: 'It listens on loopback there: others jump through the server (ssh -J).' },
  { value: 'everyone', name: 'Everyone who reaches the server', short: 'everyone', description: 'Open to the internet if the server is: anyone may try to get in here.' },
]);

/** @param whyNot what is wrong with a port that cannot be had there */
export const remotePort = (ask: Ask, leadsTo: HostPort, preset: number, whyNot: (port: number) => ExpectedError | undefined) =>
  ask.text(`Port on the server that leads to ${formatEndpoint(leadsTo)}`, (text) => {
    const port = parsePort(text);
    const why = whyNot(port);
    if (why) throw new InvalidValue(why.message.replace(/^--remote-port: /, ''));
    return port;
  }, String(preset));

/** @param taken whether a name is another device's */
export const deviceName = (ask: Ask, preset: string, taken: (name: string) => boolean) =>
  ask.text('Name of this device on the server', (text) => {
    const name = parseDeviceName(text);
    if (taken(name)) throw new InvalidValue(`the server has another device called "${name}"`);
    return name;
  }, preset);
