import { failed, personNeeded } from '../errors.ts';
import { type Connection, NotBegun, type Rights } from './remoteConnection.ts';

/** The login itself. */
const PLAIN: Rights = { prefix: [], prefixAttached: [] };

// What sudo remembers of an earlier password could end at any moment: it is not counted on (-k).
const WITHOUT_PASSWORD: Rights = { prefix: ['sudo', '-k', '-n', '--'], prefixAttached: ['sudo', '-k', '-n', '--'] };

/** With -k sudo asks each time; in front of a terminal it may ask the person itself. */
const withPassword = (password: string): Rights => ({ prefix: ['sudo', '-k', '-S', '-p', '', '--'], prefixAttached: ['sudo', '--'], password });

const ATTEMPTS = 3;

/**
 * How to be root there: as the login, by sudo, or by sudo with a password, which is kept in memory alone.
 * @param askPassword asks a person; undefined where there is none
 * @throws ExpectedError when there is no way
 */
export async function findRights(connection: Connection, askPassword?: (prompt: string) => Promise<string>): Promise<Rights> {
  const { name } = connection;
  const [uid, user = ''] = (await plainly(connection, ['sh', '-c', 'id -u; id -un'])).stdout.split('\n');
  if (uid === '0') return PLAIN;
  if ((await plainly(connection, ['sh', '-c', 'command -v sudo'])).code !== 0) {
    throw failed('no-root-there', `${user} is not root on ${name}, and there is no sudo.`, 'Log in as root, or install sudo there.');
  }
  const said = await refusal(connection, WITHOUT_PASSWORD);
  if (said === undefined) return WITHOUT_PASSWORD;
  if (!/password is required/.test(said)) throw refusedBySudo(name, user, said);
  if (!askPassword) {
    throw personNeeded('sudo-password', `${name}: sudo wants ${user}'s password, and nobody can be asked.`,
      `Run this on a terminal, log in as root, or let ${user} use sudo there without a password (NOPASSWD in sudoers).`);
  }
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const prompt = attempt === 1 ? `Password of ${user} on ${name}, for sudo` : `Sorry, that is not it. Password of ${user} on ${name}, for sudo`;
    const rights = withPassword(await askPassword(prompt));
    const answer = await refusal(connection, rights);
    if (answer === undefined) return rights;
    if (!/[Ss]orry, try again|incorrect password|incorrect authentication|no password was provided/.test(answer)) throw refusedBySudo(name, user, answer);
  }
  throw personNeeded('sudo-refused', `${name}: sudo took none of the ${ATTEMPTS} passwords for ${user}.`, 'It is the password of that user on the server that sudo wants.');
}

const refusedBySudo = (name: string, user: string, said: string) =>
  failed('sudo-refused', `${name}: sudo does not let ${user} become root. (sudo: ${lastLine(said)})`, 'Log in as root or as a user who may use sudo there.');

/** What sudo says instead of running a command; undefined when it does run it. */
async function refusal(connection: Connection, rights: Rights): Promise<string | undefined> {
  try {
    const { code, stdout } = await connection.run(rights, ['id', '-u']);
    return code === 0 && stdout.trim() === '0' ? undefined : `it leads to user ${stdout.trim()}`;
  } catch (error) {
    if (error instanceof NotBegun) return error.said;
    throw error;
  }
}

async function plainly(connection: Connection, argv: readonly string[]) {
  try {
    return await connection.run(PLAIN, argv);
  } catch (error) {
    if (!(error instanceof NotBegun)) throw error;
    throw failed('no-shell-there', `${connection.name}: this login cannot run commands: ${lastLine(error.said)}`, 'Use a login with an ordinary shell.');
  }
}

export const lastLine = (said: string) => said.trim().split('\n').at(-1)?.trim() ?? '';
