import { randomBytes } from 'node:crypto';

/**
 * An OpenSSH private key file (PROTOCOL.key, PROTOCOL.u2f) of a FIDO security key that wants to be touched. Such a file
 * only names the key within the device, so it takes no device to make one.
 */
export function securityKey(): string {
  const type = string('sk-ssh-ed25519@openssh.com');
  const point = string(randomBytes(32));
  const application = string('ssh:');
  const presenceRequired = Buffer.from([1]);
  const check = randomBytes(4);
  const secret = Buffer.concat([check, check, type, point, application, presenceRequired, string(randomBytes(64)), string(''), string('me@here')]);
  const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, index) => index + 1));
  const file = Buffer.concat([
    Buffer.from('openssh-key-v1\0'), string('none'), string('none'), string(''), number(1),
    string(Buffer.concat([type, point, application])), string(Buffer.concat([secret, padding])),
  ]);
  const lines = file.toString('base64').match(/.{1,70}/g) ?? [];
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join('\n')}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function string(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([number(bytes.length), bytes]);
}
