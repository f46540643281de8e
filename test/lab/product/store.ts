export { otherServer, startStore, type TestedStore } from '@horcrux/embedded-store/test-store'
