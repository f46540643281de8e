import { existsSync, readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join, resolve } from 'node:path'
import ipaddr from 'ipaddr.js'
import { cannotBeRead, mistakesOfTls, textOf } from '#shared/config/files.ts'

export type Config = {
  host: string
  port: number
  tls: 'off' | 'self-signed' | 'files'
  tlsCert: string | undefined
  tlsKey: string | undefined
  /** Absolute path of everything that `npm start` keeps. */
  dataDir: string
  /** XDG_RUNTIME_DIR: a folder of the user that is emptied at logout. */
  runtimeDir: string | undefined
  adminPassword: string | undefined
  jwtSecret: string | undefined
  secretKey: string | undefined
  natsUrl: string | undefined
  /** The secret of this process's identity on the bus, an nkey seed. */
  natsNkey: string | undefined
  mongodbUrl: string | undefined
  trustedProxies: string[]
  allowedPaths: string[]
  logLevel: LogLevel
  logPath: string | undefined
  logRotation: 'hourly' | 'daily' | 'weekly'
  vmAccel: 'auto' | 'kvm' | 'tcg'
  /** Port of the page for Prometheus; 0 is none. */
  metricsPort: number
  metricsHost: string
  /** Requests a minute for each user; 0 is no limit. */
  rateLimit: number
  /** Tries a minute of each address where a password or a set-up token is tried; 0 is no limit. */
  loginLimit: number
  /** A process that is silent for so long has its operations taken over. */
  leaseSeconds: number
  development: boolean
}

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** All mistakes of the environment at once; a process that meets it ends with exit code 78 (EX_CONFIG of sysexits.h). */
export class ConfigError extends Error {
  readonly mistakes: string[]
  constructor(mistakes: string[]) {
    super(
      `The configuration has ${mistakes.length} mistake(s):\n${mistakes.map((mistake) => `  - ${mistake}`).join('\n')}`,
    )
    this.mistakes = mistakes
  }
}

type Env = Record<string, string | undefined>

/** Reads the settings out of environment variables. @throws ConfigError naming every mistake */
export function readConfig(env: Env): Config {
  const mistakes: string[] = []
  const text = (name: string) => env[name]?.trim() || undefined
  const number = (name: string, fallback: number, max: number, min = 0) => {
    const value = text(name)
    if (value === undefined) return fallback
    if (/^\d+$/.test(value) && Number(value) >= min && Number(value) <= max) return Number(value)
    mistakes.push(`${name}: must be a whole number from ${min} to ${max}, not '${value}'`)
    return fallback
  }
  const oneOf = <T extends string>(name: string, allowed: readonly T[], fallback: T): T => {
    const value = text(name)
    if (value === undefined) return fallback
    if (allowed.includes(value as T)) return value as T
    mistakes.push(`${name}: must be one of ${allowed.join(', ')}, not '${value}'`)
    return fallback
  }
  const secret = (name: string, minLength = 0) => {
    const file = text(`${name}_FILE`)
    if (file && text(name)) mistakes.push(`${name} and ${name}_FILE: give one of them`)
    const value = file ? textOf(`${name}_FILE`, file, mistakes)?.trim() : text(name)
    if (value !== undefined && value.length < minLength)
      mistakes.push(`${name}: must have at least ${minLength} characters`)
    return value
  }
  const list = (name: string) =>
    (text(name) ?? '')
      .split(',')
      .map((part) => part.trim())
      .filter(Boolean)

  const host = text('HORCRUX_HOST') ?? '127.0.0.1'
  const dataDir = resolve(text('HORCRUX_DATA') ?? 'data')
  const kept = readKept(dataDir)
  const rateLimit = number('HORCRUX_RATE_LIMIT', 300, 1_000_000_000)
  const config: Config = {
    host,
    port: number('HORCRUX_PORT', 8006, 65_535, 1),
    tls: oneOf('HORCRUX_TLS', ['off', 'self-signed', 'files'], isLoopback(host) ? 'off' : 'self-signed'),
    tlsCert: text('HORCRUX_TLS_CERT'),
    tlsKey: text('HORCRUX_TLS_KEY'),
    dataDir,
    runtimeDir: text('XDG_RUNTIME_DIR'),
    adminPassword: secret('HORCRUX_ADMIN_PASSWORD'),
    jwtSecret: secret('HORCRUX_JWT_SECRET', 32) ?? kept.jwt_secret,
    secretKey: secret('HORCRUX_SECRET_KEY', 32) ?? kept.secret_key,
    natsUrl: secret('NATS_URL') ?? kept.nats_url,
    natsNkey: secret('NATS_NKEY'),
    mongodbUrl: secret('MONGODB_URL') ?? kept.mongodb_url,
    trustedProxies: list('HORCRUX_TRUSTED_PROXIES'),
    allowedPaths: list('HORCRUX_ALLOWED_PATHS').map((path) => resolve(path)),
    logLevel: oneOf('HORCRUX_LOG_LEVEL', logLevels, 'info'),
    logPath: text('HORCRUX_LOG_PATH'),
    logRotation: oneOf('HORCRUX_LOG_ROTATION', ['hourly', 'daily', 'weekly'], 'daily'),
    vmAccel: oneOf('HORCRUX_VM_ACCEL', ['auto', 'kvm', 'tcg'], 'auto'),
    metricsPort: number('HORCRUX_METRICS_PORT', 9106, 65_535),
    metricsHost: text('HORCRUX_METRICS_HOST') ?? '127.0.0.1',
    rateLimit,
    // HORCRUX_RATE_LIMIT=0 switches this limit off too, unless it is set itself.
    loginLimit: number('HORCRUX_LOGIN_LIMIT', rateLimit === 0 ? 0 : 5, 1_000_000_000),
    leaseSeconds: number('HORCRUX_LEASE_SECONDS', 15, 600, 1),
    development: text('NODE_ENV') === 'development',
  }
  if (config.allowedPaths.length === 0) config.allowedPaths = [dataDir]
  mistakes.push(...mistakesOf(config))
  if (mistakes.length > 0) throw new ConfigError(mistakes)
  return config
}

const isLoopback = (host: string) => host === 'localhost' || host === '::1' || host.startsWith('127.')

function mistakesOf(config: Config): string[] {
  const mistakes: string[] = []
  if (config.host !== 'localhost' && isIP(config.host) === 0)
    mistakes.push(`HORCRUX_HOST: must be an IP address or localhost, not '${config.host}'`)
  if (config.metricsHost !== 'localhost' && isIP(config.metricsHost) === 0)
    mistakes.push(`HORCRUX_METRICS_HOST: must be an IP address or localhost, not '${config.metricsHost}'`)
  for (const cidr of config.trustedProxies) {
    try {
      ipaddr.parseCIDR(cidr.includes('/') ? cidr : `${cidr}/${cidr.includes(':') ? 128 : 32}`)
    } catch {
      mistakes.push(`HORCRUX_TRUSTED_PROXIES: '${cidr}' is not a network such as 10.0.0.0/8`)
    }
  }
  return [...mistakes, ...mistakesOfBus(config), ...mistakesOfStore(config), ...mistakesOfTls(config)]
}

/** Messages leave the values out: they contain secrets. */
function mistakesOfBus({ natsUrl, natsNkey }: Config): string[] {
  const urls = natsUrl?.split(',').map((url) => (URL.canParse(url) ? new URL(url) : undefined)) ?? []
  return [
    ...(urls.every((url) => url?.host) ? [] : ['NATS_URL: must be an address such as nats://nats.example:4222']),
    ...(natsNkey !== undefined && urls.some((url) => url?.username)
      ? ['NATS_URL names a user and NATS_NKEY an identity: give one of them']
      : []),
    ...(natsNkey === undefined || /^SU[A-Z2-7]{56}$/.test(natsNkey)
      ? []
      : ['NATS_NKEY: must be the secret of a NATS user, which begins with SU and has 58 characters']),
  ]
}

/** The syntax of MongoDB's drivers, which check the options after `?` themselves. */
const storeHost = String.raw`(\[[0-9a-fA-F:.]+\]|[^@/?:,\s[\]]+)(:\d{1,5})?`
const storeUrl = new RegExp(String.raw`^mongodb(\+srv)?://([^@/?]+@)?${storeHost}(,${storeHost})*(/[^@?]*)?(\?.*)?$`)

const mistakesOfStore = ({ mongodbUrl }: Config): string[] =>
  mongodbUrl === undefined || storeUrl.test(mongodbUrl)
    ? []
    : [
        'MONGODB_URL: must be an address such as mongodb://user:password@mongo.example:27017/horcrux; in a password : / ? @ and % are written as %3A %2F %3F %40 %25',
      ]

/** Addresses of a running `npm start`. */
export type Endpoints = { api_url?: string; nats_url?: string; mongodb_url?: string }
/** Secrets that `npm start` makes once. */
export type Secrets = { jwt_secret: string; secret_key: string; mongodb_password: string }

/**
 * File with the addresses of a running `npm start`, its bus and its store, for other processes of the machine; mode
 * 0600.
 */
export const endpointsFile = (dataDir: string) => join(dataDir, 'run', 'endpoints.json')
/** File with the secrets that `npm start` has made; mode 0600. */
export const secretsFile = (dataDir: string) => join(dataDir, 'secrets', 'secrets.json')

const readKept = (dataDir: string): Endpoints & Partial<Secrets> => ({
  ...readJson(secretsFile(dataDir)),
  ...readJson(endpointsFile(dataDir)),
})

function readJson(file: string): Record<string, string> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>
  } catch {
    return {}
  }
}

let loaded: Config | undefined

function loadEnv(file: string): void {
  try {
    process.loadEnvFile(file)
  } catch (error) {
    throw new ConfigError([cannotBeRead('.env', file, error)])
  }
}

/** The settings of this process: environment variables, then `.env` of the working folder. */
export function config(): Config {
  if (loaded) return loaded
  if (existsSync('.env')) loadEnv(resolve('.env'))
  return (loaded = readConfig(process.env))
}

/** Sets values that `npm start` learns while it starts: the addresses of its bus and store, the secrets it made. */
export const setConfig = (found: Partial<Config>) => (loaded = { ...config(), ...found })

/** Reads the settings again, after the files that `npm start` keeps have changed. */
export function reloadConfig(): Config {
  loaded = undefined
  return config()
}
