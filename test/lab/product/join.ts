import { type Running, startServices } from '#shared/service/start.ts'
import { setConfig } from '#shared/config/config.ts'
import { wholeName } from '#shared/bus/identity/service-permissions.ts'
import { callOn, type TestHorcrux } from './horcrux.ts'
import { type Deployment, wholeKey } from './deployment.ts'

/** This process on the bus of a deployment, with the identity that may do everything; it works on no operations. */
export type Joined = Pick<TestHorcrux, 'call' | 'broker' | 'stop'>

export async function join({ dir, env }: Deployment): Promise<Joined> {
  setConfig({
    dataDir: dir,
    natsUrl: env['NATS_URL'],
    natsNkey: await wholeKey(dir),
    mongodbUrl: env['MONGODB_URL']!,
    jwtSecret: env['HORCRUX_JWT_SECRET']!,
    secretKey: env['HORCRUX_SECRET_KEY']!,
    logLevel: 'silent',
    metricsPort: 0,
    leaseSeconds: Number(env['HORCRUX_LEASE_SECONDS'] ?? 15),
  })
  const { broker, stop }: Running = await startServices(wholeName, [], { works: false })
  return { broker, stop, call: callOn(broker) }
}
