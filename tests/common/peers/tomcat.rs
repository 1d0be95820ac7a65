//! Tomcat 10 with one JSP that shows its session; alone, or two of them, with or without replication.

use std::process::Command;
use std::time::Duration;

use super::process::{Peer, Ready};
use crate::common::temp::{ReservedPort, TempDir};

const HOME: &str = "/usr/share/tomcat10";

pub struct Tomcat(Peer);

/// Two of them, `tomcat1` and `tomcat2`.
pub struct Tomcats {
    pub one: Tomcat,
    pub two: Tomcat,
}

impl std::ops::Deref for Tomcat {
    type Target = Peer;
    fn deref(&self) -> &Peer {
        &self.0
    }
}

impl std::ops::DerefMut for Tomcat {
    fn deref_mut(&mut self) -> &mut Peer {
        &mut self.0
    }
}

/// What the tutorial's session page shows, for a program to read: the server, the session, and how
/// often this session was here.
const INDEX_JSP: &str = r#"<%@ page session="true" contentType="text/plain" %><%
  Integer visits = (Integer) session.getAttribute("visits");
  visits = visits == null ? 1 : visits + 1;
  session.setAttribute("visits", visits);
  response.setHeader("X-Origin", application.getInitParameter("name"));
%>server <%= application.getInitParameter("name") %>
session <%= session.getId() %>
visits <%= visits %>
client <%= request.getHeader("X-Forwarded-For") %>
cookies <%= request.getHeader("Cookie") %>
"#;

impl Tomcat {
    /// One whose `jvmRoute` is its name.
    #[track_caller]
    pub fn start(name: &str) -> Self {
        let mut tomcat = Self::spawn(name, "");
        tomcat.0.wait_ready();
        tomcat
    }

    #[track_caller]
    fn spawn(name: &str, cluster: &str) -> Self {
        let dir = TempDir::new("tomcat");
        let port = ReservedPort::new();
        for folder in ["logs", "temp", "work", "lib"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        dir.write("conf/server.xml", &server_xml(port.port(), name, cluster));
        // The JSP compiler and the default servlet come from Tomcat's own defaults.
        std::fs::copy("/etc/tomcat10/web.xml", dir.path().join("conf/web.xml"))
            .expect("tomcat10 is not installed (run `make setup`)");
        let distributable = if cluster.is_empty() {
            ""
        } else {
            "<distributable/>"
        };
        dir.write(
            "webapps/ROOT/WEB-INF/web.xml",
            &format!(
                "<web-app xmlns=\"https://jakarta.ee/xml/ns/jakartaee\" version=\"6.0\">\
                 {distributable}\
                 <context-param><param-name>name</param-name><param-value>{name}</param-value>\
                 </context-param></web-app>"
            ),
        );
        dir.write("webapps/ROOT/index.jsp", INDEX_JSP);
        let here = dir.path().display();
        let mut command = Command::new("java");
        command
            .args([
                "-Xmx128m",
                "-Xshare:auto",
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
            ])
            .arg("-Djava.awt.headless=true")
            // Sessions need randomness; a fresh virtual machine may have little.
            .arg("-Djava.security.egd=file:/dev/urandom")
            .arg(format!("-Dcatalina.home={HOME}"))
            .arg(format!("-Dcatalina.base={here}"))
            .arg(format!("-Djava.io.tmpdir={here}/temp"))
            .args([
                "-cp",
                &format!("{HOME}/bin/bootstrap.jar:{HOME}/bin/tomcat-juli.jar"),
            ])
            .args(["org.apache.catalina.startup.Bootstrap", "start"]);
        // A JVM on a busy two-core machine takes its time.
        let within = Duration::from_secs(90);
        Self(Peer::spawn(Ready::Answers, dir, port, command, within))
    }

    /// The access log, whatever its date.
    pub fn access_log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("logs/access.txt")).unwrap_or_default()
    }
}

impl Tomcats {
    /// Two that know nothing of each other.
    #[track_caller]
    pub fn separate() -> Self {
        Self::both(Tomcat::spawn("tomcat1", ""), Tomcat::spawn("tomcat2", ""))
    }

    /// Two that replicate every session to each other, each request before its response ends.
    #[track_caller]
    pub fn replicated() -> Self {
        let (one, two) = (ReservedPort::new(), ReservedPort::new());
        // One after the other: of two that start together each may ask the other for its sessions before that one can
        // answer, and waits.
        let mut first = Tomcat::spawn("tomcat1", &cluster_xml(one.port(), 1, two.port(), 2));
        first.0.wait_ready();
        let second = Tomcat::spawn("tomcat2", &cluster_xml(two.port(), 2, one.port(), 1));
        let both = Self::both(first, second);
        for tomcat in [&both.one, &both.two] {
            tomcat.wait_line("output.log", |l| {
                l.contains("memberAdded") || l.contains("Replication member added")
            });
        }
        both
    }

    #[track_caller]
    fn both(mut one: Tomcat, mut two: Tomcat) -> Self {
        one.0.wait_ready();
        two.0.wait_ready();
        Self { one, two }
    }

    pub fn of(&mut self, name: &str) -> &mut Tomcat {
        if name == "tomcat1" {
            &mut self.one
        } else {
            &mut self.two
        }
    }
}

/// A `SimpleTcpCluster` of two, as Tomcat's "Clustering/Session Replication How-To" has it, but with
/// static members (no multicast on a loopback) and synchronous sending (6 = `SYNC_ACK` + `USE_ACK`), so that
/// what a client has seen is at the other one.
fn cluster_xml(port: u16, id: u8, other_port: u16, other_id: u8) -> String {
    let unique = |id: u8| format!("{{{}{id}}}", "0,".repeat(15));
    format!(
        r#"
      <Cluster className="org.apache.catalina.ha.tcp.SimpleTcpCluster" channelSendOptions="6" channelStartOptions="3">
        <Manager className="org.apache.catalina.ha.session.DeltaManager"
                 expireSessionsOnShutdown="false" notifyListenersOnReplication="true"
                 stateTransferTimeout="10"/>
        <Channel className="org.apache.catalina.tribes.group.GroupChannel">
          <Receiver className="org.apache.catalina.tribes.transport.nio.NioReceiver"
                    address="127.0.0.1" port="{port}" autoBind="0" selectorTimeout="100" maxThreads="6"/>
          <Sender className="org.apache.catalina.tribes.transport.ReplicationTransmitter">
            <Transport className="org.apache.catalina.tribes.transport.nio.PooledParallelSender"/>
          </Sender>
          <Interceptor className="org.apache.catalina.tribes.group.interceptors.TcpPingInterceptor" interval="500"/>
          <Interceptor className="org.apache.catalina.tribes.group.interceptors.TcpFailureDetector"/>
          <Interceptor className="org.apache.catalina.tribes.group.interceptors.MessageDispatchInterceptor"/>
          <Interceptor className="org.apache.catalina.tribes.group.interceptors.StaticMembershipInterceptor">
            <LocalMember className="org.apache.catalina.tribes.membership.StaticMember" domain="test" uniqueId="{}"/>
            <Member className="org.apache.catalina.tribes.membership.StaticMember"
                    host="127.0.0.1" port="{other_port}" domain="test" uniqueId="{}"/>
          </Interceptor>
        </Channel>
        <Valve className="org.apache.catalina.ha.tcp.ReplicationValve" filter=""/>
        <Valve className="org.apache.catalina.ha.session.JvmRouteBinderValve"/>
        <ClusterListener className="org.apache.catalina.ha.session.ClusterSessionListener"/>
      </Cluster>"#,
        unique(id),
        unique(other_id)
    )
}

fn server_xml(port: u16, route: &str, cluster: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Server port="-1">
  <Service name="Catalina">
    <Connector port="{port}" address="127.0.0.1" protocol="HTTP/1.1" connectionTimeout="20000"/>
    <Engine name="Catalina" defaultHost="localhost" jvmRoute="{route}">{cluster}
      <Host name="localhost" appBase="webapps" unpackWARs="false" autoDeploy="false">
        <Valve className="org.apache.catalina.valves.AccessLogValve" directory="logs"
               prefix="access" suffix=".txt" rotatable="false" buffered="false"
               pattern="%{{X-Forwarded-For}}i %h %l %u %t &quot;%r&quot; %s %b"/>
      </Host>
    </Engine>
  </Service>
</Server>
"#
    )
}
